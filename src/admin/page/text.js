"use strict";
// Words, and how they get onto the page: as text, never as markup.

const $ = (id) => document.getElementById(id);

// Characters that are not seen, or turn the order of others: a file name must not look like another one.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

function visible(text) {
  const code = (one) => "⟨U+" + one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
  return String(text).replace(UNSEEN, code);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// What others chose, on an island of its own: its direction does not reach its neighbours.
function name(text) {
  return make("bdi", "", visible(text));
}

const whole = new Intl.NumberFormat("en");
const count = (number) => whole.format(number);

function rate(number) {
  return number >= 100 ? count(Math.round(number)) : number >= 10 ? number.toFixed(0) : number > 0 ? number.toFixed(1) : "0";
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s < 600 && s % 60 ? " " + (s % 60) + " s" : "");
  if (s < 86400) return Math.floor(s / 3600) + " h" + (Math.floor(s / 60) % 60 ? " " + (Math.floor(s / 60) % 60) + " min" : "");
  return Math.floor(s / 86400) + " d" + (Math.floor(s / 3600) % 24 ? " " + (Math.floor(s / 3600) % 24) + " h" : "");
}

function milliseconds(ms) {
  return ms < 1000 ? ms + " ms" : ms / 1000 + " s";
}

function clock(text) {
  const time = new Date(text);
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const today = new Date().toDateString() === time.toDateString();
  return (today ? "" : time.toISOString().slice(0, 10) + " ") + time.toLocaleTimeString("en", options);
}

// A cell is a text, or { text, note, title, class, name, meter }; `name`: others chose the text.
function fill(td, cell, label) {
  const key = JSON.stringify(cell);
  if (td.dataset.label !== label) td.dataset.label = label;
  if (td.shown === key) return;
  td.shown = key;
  const { text, note, title, name: isName, meter, swatch } = cell;
  td.className = (cell.class || "") + (text === "" ? " empty-cell" : "");
  td.replaceChildren();
  if (swatch) td.append(swatchOf(swatch));
  if (meter !== undefined) td.append(meterOf(meter));
  td.append(isName ? name(text) : document.createTextNode(text));
  if (note) td.append(make("span", "note", visible(note)));
  if (title) td.title = visible(title);
  else td.removeAttribute("title");
}

function meterOf(percent) {
  const meter = make("span", "meter" + (percent >= 100 ? " danger" : percent >= 80 ? " caution" : ""));
  const used = make("i");
  used.style.width = Math.min(100, percent) + "%";
  meter.setAttribute("aria-hidden", "true");
  meter.append(used);
  return meter;
}

// On a narrow screen rows are laid out as blocks, which would make it no table for who hears it.
function keepRoles(table) {
  table.setAttribute("role", "table");
  for (const group of [table.tHead, ...table.tBodies]) group.setAttribute("role", "rowgroup");
  table.tHead.rows[0].setAttribute("role", "row");
  for (const head of table.tHead.rows[0].cells) head.setAttribute("role", "columnheader");
}

// Rows are changed where they are, so that what a reader has selected or hears stays.
function rows(body, all) {
  const table = body.parentElement, labels = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  if (!table.hasAttribute("role")) keepRoles(table);
  all.forEach((cells, index) => {
    const row = body.rows[index] || body.insertRow();
    cells.forEach((cell, at) => {
      const td = row.cells[at] || row.insertCell();
      td.setAttribute("role", "cell");
      fill(td, typeof cell === "string" ? { text: cell } : cell, labels[at]);
    });
    row.setAttribute("role", "row");
  });
  while (body.rows.length > all.length) body.deleteRow(-1);
}

function pairs(list, all) {
  const key = JSON.stringify(all);
  if (list.shown === key) return;
  list.shown = key;
  list.replaceChildren(...all.flatMap(([term, text, className]) => {
    const said = make("dd", className || "");
    said.append(name(text));
    return [make("dt", "", term), said];
  }));
}
