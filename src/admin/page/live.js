// Listens, shows what is heard, and says so when nothing is.

let state = null, source = null, isPaused = false, heard = 0, endedWith = "";
const PATIENCE = 5000, RETRY = 5000;

function show(turn) {
  observe(turn, state.deletes);
  document.body.classList.remove("stale");
  showHealth(state);
  showFigures(state);
  showEnds(state);
  showLibraries(state);
  showAlarms(state);
  showRefusals(state);
  showLimits(state);
  showTokens(state);
  showConfig(state);
  drawChart();
  drawLatency(state.deletes.answered_within_ms);
  reach();
}

// What scrolls can be reached by key, and nothing else is a stop on the way.
function reach() {
  for (const region of document.querySelectorAll(".scroll")) {
    const scrolls = region.scrollWidth > region.clientWidth + 1 || region.scrollHeight > region.clientHeight + 1;
    if (scrolls !== region.hasAttribute("tabindex")) {
      if (scrolls) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    }
  }
}

function take(event, isWhole) {
  const parts = JSON.parse(event.data);
  state = isWhole ? parts : { ...state, ...parts };
  heard = Date.now();
  endedWith = "";
  show(Number(event.lastEventId));
  link("live", "live");
}

function link(kind, text) {
  $("link").dataset.link = kind;
  say($("link-text"), text);
}

function listen() {
  if (source || isPaused || document.hidden) return;
  source = new EventSource("api/events");
  source.addEventListener("whole", (event) => take(event, true));
  source.addEventListener("change", (event) => state && take(event, false));
  source.addEventListener("error", () => {
    // Otherwise the browser tries again by itself.
    if (source && source.readyState === EventSource.CLOSED) {
      hush();
      endedWith = "too many look at it, or it is no gateway: trying again";
      setTimeout(listen, RETRY);
    }
  });
}

function hush() {
  if (source) source.close();
  source = null;
}

// A page that hears nothing must not look as if all were well.
function look() {
  if (isPaused || document.hidden || Date.now() - heard < PATIENCE) return;
  const since = heard ? `Nothing heard for ${span((Date.now() - heard) / 1000)}` : "Nothing heard yet";
  link("lost", "connection lost");
  document.body.classList.add("stale");
  headline("Out of touch", "danger", `${since}: what is below may be out of date.${endedWith ? ` (${endedWith})` : ""}`);
}

$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  say($("pause"), isPaused ? "Go on" : "Pause");
  if (isPaused) {
    hush();
    link("paused", `paused at ${clock(new Date().toISOString())}`);
  } else {
    heard = Date.now();
    link("wait", "connecting");
    listen();
  }
});

// Whom nobody sees need not listen.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return hush();
  heard = Date.now();
  listen();
});

let resized = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(() => {
    if (!state) return;
    drawChart();
    drawLatency(state.deletes.answered_within_ms);
  });
});

// What may be asked about.
let suggested = false;
$("question").addEventListener("focusin", async () => {
  if (suggested) return;
  suggested = true;
  try {
    const config = await (await fetch("api/config")).json();
    for (const list of ["callers", "tenants"]) {
      const options = Object.keys(config[list] || {}).slice(0, 500).map((one) => {
        const option = make("option");
        option.value = one;
        return option;
      });
      $(list).replaceChildren(...options);
    }
  } catch {
    suggested = false;
  }
});

$("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const asked = { caller: form.get("caller"), tenant: form.get("tenant"), path: form.get("path"), permanent: form.has("permanent") };
  if (form.get("user_id")) asked.user_id = form.get("user_id");
  const decide = (text, level) => {
    say($("decision"), visible(text));
    $("decision").dataset.level = level;
  };
  try {
    const answer = await fetch("api/explain", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
    const said = await answer.json();
    $("reasons").hidden = !said.checks;
    if (!said.checks) return decide(said.error, "danger");
    const rule = said.rule ? ` Rule: ${said.rule}.` : "";
    const shadow = said.shadow_rules.length ? ` Not enforced: ${said.shadow_rules.join(", ")}.` : "";
    if (said.decision === "allow") decide(`Allowed.${rule}${shadow}`, "good");
    else decide(`Denied: ${said.status} ${said.code}, ${said.detail}.${rule}${shadow}`, "danger");
    rows($("checks"), said.checks.map((one) => [
      { text: one.check, class: "no" },
      { text: one.verdict, class: { passed: "good no", refused: "danger no" }[one.verdict] || "no" },
      own(one.why), own(one.place, { class: "mono" }),
    ]));
  } catch (error) {
    $("reasons").hidden = true;
    decide(`No answer: ${error.message}`, "danger");
  }
});

heard = Date.now();
setInterval(look, 1000);
listen();
