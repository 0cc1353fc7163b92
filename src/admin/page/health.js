// Is it well, and if not, why not: first what an operator must act on, then what to look at.

const DAYS = 14;

// Each: [is it danger, what, where on this page].
function concerns(state) {
  const all = [];
  const danger = (text, to) => all.push([true, text, to]);
  const caution = (text, to) => all.push([false, text, to]);
  const { config, deletes } = state;
  for (const what of state.pending) (state.ready ? caution : danger)(`missing: ${what}`, null);
  for (const one of state.frozen) {
    const whose = one.what === "everything" ? "All deletes are frozen" : `The ${one.what} ${one.name} is frozen`;
    const why = one.reason ? `: ${one.reason}` : "";
    const by = one.by === "policy" ? ` (policy.yaml, line ${one.line})` : " (halted; goes on with another configuration)";
    danger(whose + why + by, null);
  }
  // A day after the last of them it is no news any more.
  const isNews = state.latest_alarms.some((one) => Date.now() - new Date(one.at) < 86400e3);
  const alarm = isNews ? danger : caution;
  if (deletes.irreversible) alarm(`${files(deletes.irreversible)} destroyed that should have gone to the recycle bin: the bin is off`, "alarms");
  if (deletes.misdirected) alarm(`${count(deletes.misdirected)} ${deletes.misdirected === 1 ? "delete" : "deletes"} went to a library, space or route that SMH does not know`, "alarms");
  if (config.rejected) {
    const [first] = config.rejected.problems;
    const where = first ? `: ${place(first)}: ${first.message}` : "";
    danger(`What stands in the files is not in force${where}`, "config");
  }
  if (state.audit && state.audit.fault) danger(`The journal cannot be written: ${state.audit.fault}`, null);
  certificates(state, danger, caution);
  tokens(state, danger, caution);
  if (config.dry_run) caution("The policy is a dry run: rules and limits refuse nothing but what is permanent or frozen", "config");
  if (config.needs_restart.length) caution(`Takes effect after a restart: ${config.needs_restart.join(", ")}`, "config");
  const store = state.rate_limit_store;
  if (store && !store.connected_workers && store.last_fault) caution(`The rate limit store is not reached: ${store.last_fault}`, "limits");
  for (const issuer of state.jwt_issuers) if (issuer.last_error) caution(`The keys of JWT issuer ${issuer.name} cannot be fetched: ${issuer.last_error}`, null);
  for (const library of state.libraries) {
    if (library.eased_to_per_second !== null) caution(`SMH asked for less: ${library.library} is held back to ${rate(library.eased_to_per_second)} a second`, null);
    if (library.max_in_flight && library.in_flight >= library.max_in_flight) caution(`The library ${library.library} has all its deletes under way: more are refused`, null);
  }
  const lost = Math.round(ended(60, "unknown")), failed = Math.round(ended(60, "failed"));
  if (lost) danger(`${count(lost)} in the last minute were sent and not answered: SMH may have deleted those files`, "refusals");
  if (failed) caution(`${count(failed)} in the last minute were not carried out: see their reasons`, "refusals");
  budgets(state, caution);
  return all.sort((a, b) => b[0] - a[0]);
}

const files = (number) => (number === 1 ? "1 file was" : `${count(number)} files were`);
const place = (problem) => problem.file + (problem.line ? `:${problem.line}:${problem.column}` : "");

function certificates(state, danger, caution) {
  for (const { listener, expires_in_days: days } of state.certificates) {
    if (days < 0) danger(`The certificate of ${listener} has expired`, null);
    else if (days < DAYS) caution(`The certificate of ${listener} expires in ${span(days * 86400)}`, null);
  }
}

function tokens(state, danger, caution) {
  const failing = state.tokens.filter((token) => token.failed_mints);
  const over = state.tokens.filter((token) => token.expires_in_at_least_seconds === 0);
  if (over.length) danger(`${count(over.length)} tokens may have expired, the first of ${over[0].caller} for ${over[0].tenant}`, "tokens");
  if (failing.length) caution(`${count(failing.length)} tokens cannot be minted, the first of ${failing[0].caller} for ${failing[0].tenant}: ${failing[0].last_error}`, "tokens");
  for (const secret of state.library_secrets) if (secret.new_secret_error) caution(`The new secret of ${secret.library} does not mint: ${secret.new_secret_error}`, "tokens");
}

function budgets(state, caution) {
  const near = state.limits.limits.flatMap((limit) => limit.used_by.filter((one) => limit.mode === "enforce" && one.used_percent >= (limit.warn_at_percent || 100)).map((one) => [limit, one]));
  if (!near.length) return;
  const [limit, one] = near[0];
  const more = near.length > 1 ? `, and ${count(near.length - 1)} more` : "";
  caution(`${who(one)} used ${one.used_percent} % of the limit “${limit.name}”${more}`, "limits");
}

function who(one) {
  const parts = ["caller", "tenant", "library", "user_id"].filter((word) => one[word] !== undefined);
  return parts.length ? parts.map((word) => (word === "user_id" ? "user " : "") + one[word]).join(" · ") : "all together";
}

function headline(text, level, more) {
  const node = $("headline");
  say(node, text);
  node.dataset.level = level;
  say($("subline"), more);
  const mark = { good: "✓", caution: "!", danger: "✕", wait: "…" }[level];
  document.title = `${mark} ${text} · smh-gateway`;
}

function showHealth(state) {
  const all = concerns(state), dangers = all.filter(([isDanger]) => isDanger).length;
  const things = (number) => (number === 1 ? "1 thing" : `${number} things`);
  const more = { serving: `Serving for ${span(state.uptime_seconds)}.`, leaving: "Leaving: it still accepts, and asks not to be sent more.", draining: "Draining: it finishes what is under way.", over: "It has ended." };
  if (!state.ready) headline("Not ready", "danger", state.phase === "serving" ? "Something that deletes need is missing." : more[state.phase]);
  else if (dangers) headline(`Ready, and ${things(dangers)} to act on`, "danger", more[state.phase]);
  else if (all.length) headline(`Ready, with ${things(all.length)} to look at`, "caution", more[state.phase]);
  else headline("Ready", "good", more[state.phase] + " Nothing needs attention.");
  const list = $("attention"), key = JSON.stringify(all);
  if (list.shown === key) return;
  list.shown = key;
  list.replaceChildren(...all.map(([isDanger, text, to]) => {
    const item = make("li", isDanger ? "danger" : "");
    const said = make("span");
    said.append(name(text));
    item.append(make("b", "", isDanger ? "Act" : "Look"), said);
    if (to) {
      const link = make("a", "", "show");
      link.href = "#" + to;
      link.setAttribute("aria-label", `show: ${visible(text)}`);
      item.append(link);
    }
    return item;
  }));
}
