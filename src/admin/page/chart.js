// What was seen since this page was opened, second by second, and the two charts of it.

const SVG = "http://www.w3.org/2000/svg";
const ENDS = {
  deleted: "deleted", absent: "not there (404)", other_answer: "another answer of SMH",
  refused: "refused by the gateway", failed: "not carried out", unknown: "end unknown",
};
const KINDS = Object.keys(ENDS);

// One a second: { turn, ended, answered }, where each is what came in that second.
const history = [];
const MOST_SECONDS = 600;
let last = null;

function draw(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Counts only grow, but for a gateway that began anew.
function observe(turn, deletes) {
  const isSame = last && turn > last.turn && KINDS.every((kind) => deletes.ended[kind] >= last.deletes.ended[kind]);
  if (!isSame) history.length = 0;
  else {
    const seconds = turn - last.turn;
    const share = (now, before) => (now - before) / seconds;
    const ended = Object.fromEntries(KINDS.map((kind) => [kind, share(deletes.ended[kind], last.deletes.ended[kind])]));
    const answered = deletes.answered.map((now, step) => share(now, last.deletes.answered[step]));
    // Of seconds that were not looked at the mean is known.
    for (let past = seconds - 1; past >= 0; past--) if (past < MOST_SECONDS) history.push({ turn: turn - past, ended, answered });
    if (history.length > MOST_SECONDS) history.splice(0, history.length - MOST_SECONDS);
  }
  last = { turn, deletes };
}

const sum = (seconds, of) => history.slice(-seconds).reduce((all, one) => all + of(one), 0);
const ended = (seconds, kind) => sum(seconds, (one) => one.ended[kind]);
const total = (one) => KINDS.reduce((all, kind) => all + one.ended[kind], 0);

// The step that a share of the answers of the last minute came within.
function within(steps, share) {
  const counts = steps.concat(Infinity).map((_, step) => sum(60, (one) => one.answered[step]));
  const all = counts.reduce((a, b) => a + b, 0);
  if (all < 0.5) return null;
  let soFar = 0;
  const step = counts.findIndex((one) => (soFar += one) >= all * share - 1e-9);
  return { step, text: step < steps.length ? "≤ " + milliseconds(steps[step]) : "> " + milliseconds(steps[steps.length - 1]) };
}

function niceMost(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= most) || 10 * power;
}

const fillOf = (kind) => (kind === "deleted" || kind === "absent" ? null : `url(#p-${kind})`);

function swatchOf(kind) {
  const swatch = draw("svg", { class: "swatch", "aria-hidden": "true", width: 14, height: 12 });
  const rect = draw("rect", { width: 14, height: 12 });
  if (fillOf(kind)) rect.setAttribute("fill", fillOf(kind));
  else rect.setAttribute("class", "k-" + kind);
  swatch.append(rect);
  return swatch;
}

function drawChart() {
  const svg = $("chart"), width = svg.clientWidth, height = svg.clientHeight;
  if (!width) return;
  const shown = Math.min(MOST_SECONDS, Math.floor(width / 4)), slot = width / shown;
  const seconds = history.slice(-shown);
  const most = niceMost(Math.max(1, ...seconds.map(total)));
  say($("most"), count(most));
  say($("half"), String(most / 2));
  say($("oldest"), span(shown) + " ago");
  const shapes = Object.fromEntries(KINDS.map((kind) => [kind, ""]));
  seconds.forEach((one, index) => {
    const x = (width - (seconds.length - index) * slot).toFixed(1);
    let y = height;
    for (const kind of KINDS) {
      if (!one.ended[kind]) continue;
      // What happened is seen, however little it is.
      const tall = Math.max(2, (one.ended[kind] / most) * height);
      y -= tall;
      shapes[kind] += `M${x} ${y.toFixed(1)}h${(slot - 1).toFixed(1)}v${tall.toFixed(1)}h-${(slot - 1).toFixed(1)}z`;
    }
  });
  $("lines").replaceChildren(...[0.5, height / 2, height - 0.5].map((y) => draw("line", { x1: 0, x2: width, y1: y, y2: y })));
  $("bars").replaceChildren(...KINDS.map((kind) => {
    const path = draw("path", { d: shapes[kind], "data-end": kind });
    if (fillOf(kind)) path.setAttribute("fill", fillOf(kind));
    else path.setAttribute("class", "k-" + kind);
    return path;
  }));
  const parts = KINDS.map((kind) => [kind, Math.round(ended(60, kind))]).filter(([, number]) => number);
  const told = parts.map(([kind, number]) => `${count(number)} ${ENDS[kind]}`).join(", ") || "no deletes";
  svg.setAttribute("aria-label", `Bars, one a second, for the last ${span(seconds.length)}. In the last minute: ${told}. The table below has the numbers.`);
}

function drawLatency(steps) {
  const svg = $("latency"), width = svg.clientWidth, height = svg.clientHeight, foot = 18, head = 16;
  if (!width) return;
  const counts = steps.concat(Infinity).map((_, step) => sum(60, (one) => one.answered[step]));
  const most = Math.max(1, ...counts), slot = width / counts.length;
  const nodes = [draw("line", { x1: 0, x2: width, y1: height - foot, y2: height - foot })];
  const label = (x, y, text, more) => {
    const node = draw("text", { x, y, "text-anchor": "middle", ...more });
    node.textContent = text;
    return node;
  };
  counts.forEach((number, step) => {
    const tall = number ? Math.max(2, (number / most) * (height - foot - head)) : 0;
    nodes.push(draw("rect", { class: "k-deleted", x: step * slot + 1, y: height - foot - tall, width: slot - 2, height: tall }));
    const bound = steps[step] === undefined ? "more" : steps[step] < 1000 ? steps[step] : steps[step] / 1000 + "s";
    if (width > 330 || step % 3 === 0) nodes.push(label((step + 0.5) * slot, height - 5, step ? bound : bound + " ms"));
  });
  for (const [share, text] of [[0.5, "half"], [0.99, "99 %"]]) {
    const found = within(steps, share);
    if (!found) continue;
    const x = (found.step + 1) * slot - 1, right = found.step > counts.length / 2;
    nodes.push(draw("line", { class: "mark", x1: x, x2: x, y1: share < 0.9 ? 14 : 2, y2: height - foot }));
    const place = { "text-anchor": right ? "end" : "start", class: "said" };
    nodes.push(label(x + (right ? -4 : 4), share < 0.9 ? 22 : 10, `${text} ${found.text}`, place));
  }
  svg.replaceChildren(...nodes);
  const p50 = within(steps, 0.5), p99 = within(steps, 0.99);
  svg.setAttribute("aria-label", p50 ? `Half of SMH's answers of the last minute came in ${p50.text}, 99 percent in ${p99.text}` : "No answers in the last minute");
}
