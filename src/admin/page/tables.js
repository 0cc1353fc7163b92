// Everything else that is known, in tables.

const own = (text, more) => ({ text: text === null || text === undefined ? "" : text, name: true, ...more });

// Of a long one its beginning and its end; all that is known of it for who points at it.
function file(path, more) {
  const letters = [...(path || "")];
  const isLong = letters.length > 160;
  const shown = isLong ? letters.slice(0, 100).join("") + "…" + letters.slice(-59).join("") : path;
  return own(shown, { class: "mono", title: isLong ? path : "", ...more });
}

function showFigures(state) {
  const steps = state.deletes.answered_within_ms;
  const known = history.length > 0;
  say($("rate"), known ? rate(sum(5, total) / Math.min(5, history.length)) : "–");
  for (const [id, share] of [["p50", 0.5], ["p99", 0.99]]) {
    const found = within(steps, share);
    say($(id), found ? found.text : "–");
  }
  const most = state.max_in_flight;
  const under = $("in-flight"), key = `${state.in_flight} of ${most}`;
  if (under.shown !== key) {
    under.shown = key;
    under.replaceChildren(count(state.in_flight), make("small", "", ` of ${count(most)}`));
  }
  say($("connections"), count(state.connections));
  say($("refused"), known ? count(Math.round(ended(60, "refused"))) : "–");
  const lost = Math.round(ended(60, "unknown"));
  say($("unknown"), known ? count(lost) : "–");
  $("unknown").className = lost ? "danger" : "";
  say($("version"), state.version);
}

function showEnds(state) {
  rows($("ends"), KINDS.map((kind) => {
    const now = sum(5, (one) => one.ended[kind]) / Math.max(1, Math.min(5, history.length));
    return [
      { text: ENDS[kind], swatch: kind },
      { text: history.length ? rate(now) : "–", class: "n" },
      { text: history.length ? count(Math.round(ended(60, kind))) : "–", class: "n" },
      { text: count(state.deletes.ended[kind]), class: "n" },
    ];
  }));
}

function showLibraries(state) {
  const answers = Math.round(["deleted", "absent", "other_answer"].reduce((all, kind) => all + ended(60, kind), 0));
  const failing = Math.round(ended(60, "failed") + ended(60, "unknown"));
  const upstream = state.latest_refusals.find((one) => one.code.startsWith("Upstream"));
  const trouble = upstream ? ` Last trouble at ${clock(upstream.at)}: ${upstream.reason}.` : "";
  const lately = `In the last minute ${answers === 1 ? "1 answer" : `${count(answers)} answers`}${failing ? `, and ${count(failing)} without` : ""}.`;
  say($("smh-said"), (history.length ? lately : "Not watched for long enough yet.") + visible(trouble));
  rows($("libraries"), state.libraries.map((one) => [
    own(one.library, { title: one.url || "", note: one.token ? `token ${one.token}` : "" }),
    { text: count(one.in_flight) + (one.max_in_flight ? ` of ${count(one.max_in_flight)}` : ""), class: "n" },
    one.recycle_bin === "off" ? { text: "off: every delete is final", class: "danger" } : { text: one.recycle_bin || "not configured any more" },
    one.eased_to_per_second === null ? { text: "–", class: "n" } : { text: `${rate(one.eased_to_per_second)}/s`, class: "n caution" },
  ]));
}

// Those that differ in their file alone are told together: a flood is one line.
function alike(refusals) {
  const groups = new Map();
  for (const one of refusals) {
    const key = JSON.stringify([one.caller, one.tenant, one.code, one.rule, one.limit, one.reason, one.permanent, one.cause]);
    const group = groups.get(key);
    if (group) group.more.push(one);
    else groups.set(key, { one, more: [] });
  }
  return [...groups.values()];
}

function showRefusals(state) {
  const all = alike(state.latest_refusals);
  $("no-refusals").hidden = all.length > 0;
  $("latest-refusals").closest(".scroll").hidden = !all.length;
  rows($("latest-refusals"), all.map(({ one, more }) => [
    { text: clock(one.at), class: "time", title: `request ${one.request_id}` },
    one.caller ? own(one.caller) : { text: "not known", class: "quiet" },
    own(one.tenant),
    file(one.path, { note: [one.permanent ? "permanent" : "", again(more)].filter(Boolean).join(", ") }),
    { text: `${one.status} ${one.code}`, class: one.outcome === "unknown" ? "danger" : "", note: one.outcome === "unknown" ? "SMH may have acted" : "" },
    own(one.rule || one.limit, { note: one.ticket || "" }),
    own(one.reason, { note: one.cause || "" }),
  ]));
}

// Of each code so many are kept.
const MOST_KEPT = 20;

function again(more) {
  if (!more.length) return "";
  const least = more.length + 1 >= MOST_KEPT ? "at least " : "";
  return `and ${least}${count(more.length)} more like it since ${clock(more[more.length - 1].at)}`;
}

function showAlarms(state) {
  $("alarms").hidden = !state.latest_alarms.length;
  const what = { irreversible: "destroyed, not recycled", misdirected: "no such library, space or route" };
  rows($("latest-alarms"), state.latest_alarms.map((one) => [
    { text: clock(one.at), class: "time" },
    { text: what[one.what], class: "danger" },
    own(one.caller), own(one.tenant), file(one.path), own(one.request_id, { class: "mono" }),
  ]));
}

function showLimits(state) {
  const { limits } = state.limits;
  const used = limits.flatMap((limit) => limit.used_by.map((one) => ({ limit, one })));
  used.sort((a, b) => b.one.used_percent - a.one.used_percent);
  const shown = used.slice(0, 100);
  const words = limits.length ? `Nothing is used of ${limits.map((limit) => limit.name).join(", ")}.` : "The policy has no limits.";
  say($("no-limits"), used.length ? (used.length > shown.length ? `The ${shown.length} that used most, of ${count(used.length)}.` : "") : visible(words));
  $("used").closest(".scroll").hidden = !used.length;
  const shadow = (limit) => (limit.mode === "enforce" ? "" : "shadow: refuses nothing");
  const granted = (one) => (one.granted ? `+ ${count(one.granted.left)} granted, for ${span(one.granted.for_seconds)}` : "");
  rows($("used"), shown.map(({ limit, one }) => [
    own(who(one), { class: frozen(state, one) ? "danger" : "", note: frozen(state, one) ? "frozen" : "" }),
    own(limit.name, { note: [limit.limit, shadow(limit)].filter(Boolean).join(", ") }),
    { text: `${one.used_percent} %`, meter: one.used_percent, class: "no", note: `${count(one.used)} of ${count(limit.burst)}` },
    { text: count(one.left), class: "n", note: granted(one) },
    { text: span(one.whole_in_seconds), class: "n" },
  ]));
}

function frozen(state, one) {
  return state.frozen.some((freeze) => freeze.what === "everything" || (one[freeze.what] !== undefined && one[freeze.what] === freeze.name));
}

function showTokens(state) {
  const given = state.libraries.filter((one) => one.token === "given").map((one) => one.library);
  const words = given.length ? `Given by an operator, so how long it lives is not known here: ${given.join(", ")}.` : "";
  const none = state.tokens.length ? "" : given.length ? "" : "None was needed yet.";
  const more = state.tokens_in_all > state.tokens.length ? ` The ${state.tokens.length} that end first, of ${count(state.tokens_in_all)}.` : "";
  say($("no-tokens"), visible(words + none + more));
  $("minted").closest(".scroll").hidden = !state.tokens.length;
  rows($("minted"), state.tokens.map((one) => {
    const left = one.expires_in_at_least_seconds;
    return [
      own(one.caller), own(one.tenant),
      left === null ? { text: "there is none", class: one.failed_mints ? "danger" : "" } : { text: `${span(left)} at least`, class: left === 0 ? "danger" : left < 300 ? "caution" : "" },
      one.age_seconds === null ? "" : `${span(one.age_seconds)} ago`,
      one.failed_mints ? { text: `${count(one.failed_mints)} failed: ${one.last_error}`, class: "danger" } : { text: "ok" },
    ];
  }));
}

function showConfig(state) {
  const { config } = state;
  pairs($("in-force"), [
    ["since", `${config.since.replace("T", " ").replace("Z", " UTC")}, for ${span(config.seconds_in_force)}`],
    ["sha256", config.sha256, "mono"],
    ["file", config.file],
    ["policy", config.policy_file || "none: no permanent deletes, no limits"],
    ["has", `${count(config.callers)} callers, ${count(config.tenants)} tenants, ${count(config.rules)} rules, ${count(state.limits.limits.length)} limits`],
    ...(config.dry_run ? [["dry run", "rules and limits refuse nothing", "caution"]] : []),
    ...(config.needs_restart.length ? [["after a restart", config.needs_restart.join(", "), "caution"]] : []),
  ]);
  const { rejected } = config;
  $("rejected").hidden = !rejected;
  if (!rejected) return;
  say($("rejected-when"), `At ${clock(rejected.at)}, with ${rejected.errors === 1 ? "1 error" : `${count(rejected.errors)} errors`}. The version above stays in force.`);
  const list = $("problems"), key = JSON.stringify(rejected.problems);
  if (list.shown === key) return;
  list.shown = key;
  list.replaceChildren(...rejected.problems.map((problem) => {
    const item = make("li");
    const where = make("code");
    where.append(name(place(problem)));
    item.append(where, " ", name(problem.message));
    if (problem.help) item.append(" (", name(problem.help), ")");
    return item;
  }));
}
