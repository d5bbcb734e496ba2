// The graph page's controls. Constant text only: nothing from the mesh is ever put in as markup.

import { BADGES, KINDS } from "./badges.js";
import { HELP } from "./find-help.js";
import { BOX_KINDS } from "./graph-boxes.js";
import { SPEEDS, TYPES } from "./graph-state.js";

const icon = (name) => `<span class="ic ic-${name}" aria-hidden="true"></span>`;

const LABELS = { rate: "Rate", errors: "Errors", p50: "Latency p50", p95: "Latency p95", p99: "Latency p99", mtls: "mTLS padlocks" };
const DISPLAY = { idle: "Idle nodes and edges", animation: "Traffic animation" };
const EXPORTS = {
    png: "PNG, as you see it", svg: "SVG drawing", csv: "CSV, one row per edge", json: "JSON", graphml: "GraphML", dot: "DOT, for Graphviz", mermaid: "Mermaid, for Markdown",
};
const KEYS = { "/": "find", f: "fit", t: "table", m: "menu", "+ −": "zoom", "← ↑ → ↓": "along the nodes", Enter: "focus, open a box", Esc: "back" };
/** Kinds whose sign does not speak for itself. */
const LEGEND_KINDS = ["gateway", "database", "service", "operation", "external", "passthrough", "blackhole", "unknown"];

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const joined = (entries, write) => Object.entries(entries).map(([name, value]) => write(name, value)).join("");
const options = (entries) => joined(entries, (value, text) => `<option value="${value}">${text}</option>`);
const checks = (attribute, entries) => joined(entries, (value, text) => `<label><input type="checkbox" data-${attribute}="${value}">${text}</label>`);
const iconButton = (action, name, label) => `<button class="button icon-only" type="button" data-action="${action}" aria-label="${label}" title="${label}">${icon(name)}</button>`;

const field = (name, sign, placeholder, label) => `
  <div class="field ${name}">${icon(sign)}<input id="graph-${name}" type="text" autocomplete="off" spellcheck="false"
    placeholder="${placeholder}" aria-label="${label}" aria-describedby="graph-${name}-problem">${name === "find" ? '<span class="count" id="graph-found" hidden title="found"></span><span class="kbd" aria-hidden="true">/</span>' : ""}
    <div class="field-problem" id="graph-${name}-problem" role="alert" hidden><pre></pre><p></p></div></div>`;

const help = joined(HELP, (title, rows) => `<h2>${title}</h2><dl>${rows.map(([word, example, text]) => `<dt>${escaped(word)}</dt>
  <dd><button type="button" class="example" data-example="${escaped(example)}">${escaped(example)}</button> ${escaped(text)}</dd>`).join("")}</dl>`);

const toolbar = `
<h1 class="sr-only">Traffic graph</h1>
<div class="toolbar">
  <select class="select" id="graph-type" aria-label="Graph type">${options(TYPES)}</select>
  <div class="anchor">
    <select class="select" id="graph-window" aria-label="Time window"></select>
    <form id="window-custom" class="popover" hidden>
      <label>Window <input type="text" placeholder="7m, 2h30m, 3d" autocomplete="off" spellcheck="false" maxlength="16"></label>
      <button class="button primary" type="submit">Show</button><button class="button" type="button" data-cancel>Cancel</button>
      <p data-reach></p><p class="bad" role="alert"></p>
    </form>
  </div>
  <details class="menu">
    <summary class="button">${icon("eye")}Display${icon("chevron-down")}</summary>
    <div class="menu-body display">
      <div><p class="section-title menu-title">On edges</p>${checks("label", LABELS)}</div>
      <div><p class="section-title menu-title">Boxes</p>${checks("box", BOX_KINDS)}
      <p class="section-title menu-title">Show</p>${checks("display", DISPLAY)}</div>
      <div class="wide"><p class="section-title menu-title">Namespaces, and whoever they talk to</p><div id="graph-namespaces"></div></div>
    </div>
  </details>
  <span class="grow"></span>
  ${field("find", "search", "Find", "Find nodes and edges")}
  ${field("hide", "eye-off", "Hide", "Hide nodes and edges")}
  <div class="tools">
  <details class="menu">
    <summary class="button icon-only" aria-label="How to find and hide" title="How to find and hide">${icon("circle-help")}</summary>
    <div class="menu-body right find-help" tabindex="0" role="region" aria-label="How to find and hide">
      <p><b>Find highlights, Hide takes away.</b> Kiali's language; choose an example to try it.</p>
      ${help}
      <h2>Keys</h2><p class="keys">${joined(KEYS, (key, text) => `<span><span class="kbd">${key}</span> ${text}</span>`)}</p>
    </div>
  </details>
  ${iconButton("table", "table-2", "Show as tables")}
  ${iconButton("replay", "history", "Look at an earlier moment")}
  ${iconButton("compare", "git-compare", "Compare two moments")}
  <details class="menu">
    <summary class="button icon-only" aria-label="Export" title="Export">${icon("download")}</summary>
    <div class="menu-body right actions">${joined(EXPORTS, (format, text) => `<button type="button" data-export="${format}">${text}</button>`)}</div>
  </details>
  </div>
</div>`;

const badge = (sign, text) => `<span>${icon(sign)}${text}</span>`;
const legend = `
  <details class="card legend">
    <summary>Legend${icon("chevron-down")}</summary>
    <div class="legend-body" tabindex="0" role="region" aria-label="Legend">
      <h2>Health</h2><span><i class="swatch ok"></i>Healthy</span><span><i class="swatch warn"></i>Degraded</span><span><i class="swatch error"></i>Failing</span><span><i class="swatch idle"></i>No traffic</span>
      <h2>Traffic</h2><span><i class="stroke"></i>HTTP, gRPC</span><span><i class="stroke tcp"></i>TCP</span><span><i class="stroke idle"></i>Idle, stale</span><span>${icon("lock")}Mutual TLS</span>
      <span><i class="dot ok"></i>Request</span><span><i class="dot error"></i>Failed request</span>
      <h2>Nodes</h2>${LEGEND_KINDS.map((kind) => badge(KINDS[kind].icon, KINDS[kind].name)).join("")}
      <h2>Badges</h2>${Object.values(BADGES).map((one) => badge(one.icon, one.name)).join("")}
    </div>
  </details>`;

const depth = (direction, text) => `
  <span class="depth" role="group" aria-label="${text}">${text}
    <button type="button" data-depth="${direction} -1" aria-label="Fewer ${text}">${icon("minus")}</button><b data-depth-of="${direction}"></b>
    <button type="button" data-depth="${direction} 1" aria-label="More ${text}">${icon("plus")}</button></span>`;

const zoomButton = (action, name, label) => `<button type="button" data-action="${action}" aria-label="${label}" title="${label}">${icon(name)}</button>`;

const stage = `
<div class="graph-trail" hidden>
  <div class="graph-focus">
    <nav aria-label="Focus"><button type="button" class="link-button" data-action="unfocus">${icon("arrow-left")}All nodes</button><span id="graph-crumbs"></span></nav>
    ${depth("up", "callers")}${depth("down", "callees")}
  </div>
  <div class="graph-lit" hidden>${icon("radar")}<b></b><button type="button" class="link-button" data-action="unlight">Show all</button></div>
</div>
<div class="graph-stage">
  <canvas id="graph-crowd" aria-hidden="true"></canvas>
  <div id="graph-canvas" role="application" tabindex="0" aria-describedby="graph-summary"
    aria-label="Traffic graph. Arrow keys move along the nodes, Enter focuses on one, m opens its menu; press t for tables."></div>
  <canvas id="graph-traffic" aria-hidden="true"></canvas>
  <div id="graph-tip" class="graph-tip" aria-hidden="true" hidden></div>
  <div id="graph-menu" class="graph-menu" role="menu" aria-label="What can be done" hidden></div>
  <div id="graph-table" class="graph-table" hidden></div>
  <p id="graph-summary" class="sr-only" aria-live="polite"></p>
  <div id="graph-notice" class="note warn graph-notice" role="status" hidden>${icon("triangle-alert")}<div></div></div>
  <div id="graph-crowded" class="note info graph-notice" role="status" hidden>${icon("boxes")}<div></div><button type="button" class="link-button" data-action="open">Draw&nbsp;all</button></div>
  <div id="graph-loading" class="graph-empty"><div class="empty"><p>Waiting for the first numbers …</p></div></div>
  <div id="graph-empty" class="graph-empty" hidden><div class="empty">${icon("waypoints")}
    <h2>No workload has joined the mesh yet</h2>
    <p>Start something behind a sidecar and it appears here within seconds:</p>
    <code>meshscope run --service hello --port 8000 -- python3 -m http.server 8000</code></div></div>
  <div id="graph-hidden" class="graph-empty" hidden><div class="empty">${icon("eye-off")}
    <h2>Everything is hidden</h2>
    <p></p>
    <button type="button" class="button" data-action="unhide">Show everything</button></div></div>
  ${legend}
  <div class="graph-foot">
    <div class="card graph-stats">
      <span><b data-total="nodes">–</b> nodes</span><span><b data-total="edges">–</b> edges</span>
      <span title="Requests per second that enter the graph"><b data-total="rate">–</b> rps in</span><span title="Of the requests that enter the graph"><b data-total="errors">–</b> failed</span>
    </div>
    <div class="card zoom" role="group" aria-label="View">
      ${zoomButton("zoom-in", "plus", "Zoom in")}${zoomButton("zoom-out", "minus", "Zoom out")}
      ${zoomButton("fit", "maximize", "Fit the graph")}${zoomButton("arrange", "refresh-cw", "Arrange anew")}
    </div>
  </div>
</div>`;

const replayButton = (action, name, label) => `<button class="button icon-only" type="button" data-moment="${action}" aria-label="${label}" title="${label}">${icon(name)}</button>`;
const bars = `
<div class="timebar replay" role="group" aria-label="Earlier moments" hidden>
  ${replayButton("back", "arrow-left", "One step back")}${replayButton("play", "play", "Play from here")}${replayButton("forth", "arrow-right", "One step forth")}
  <span class="scrub"><input id="replay-at" type="range" aria-label="Moment"><small class="muted" id="replay-ago"></small></span>
  <input id="replay-time" class="select plain" type="datetime-local" step="1" aria-label="Exact moment">
  <select class="select" id="replay-span" aria-label="How far back"></select>
  <select class="select" id="replay-speed" aria-label="Speed">${options(SPEEDS)}</select>
  <button class="button primary" type="button" data-moment="live">Back to live</button>
</div>
<div class="timebar comparing" role="group" aria-label="Compare two moments" hidden>
  <label>Compare with <select class="select" id="compare-from"></select></label>
  <span class="compared"><b data-summary></b><span class="muted" data-moments></span></span>
  <button class="button" type="button" data-compare="again">${icon("refresh-cw")}Again</button>
  <button class="button primary" type="button" data-compare="end">Back to live</button>
</div>`;

export const markup = toolbar + stage + bars;
