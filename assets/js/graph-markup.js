// The graph page's controls. Constant text only: nothing from the mesh is ever put in as markup.

const icon = (name) => `<span class="ic ic-${name}" aria-hidden="true"></span>`;

const TYPES = { versionedApp: "Versioned apps", app: "Apps", workload: "Workloads", service: "Services", operation: "Operations" };
const WINDOWS = { 10: "Last 10 s", 60: "Last 1 min", 300: "Last 5 min", 900: "Last 15 min", 3600: "Last 1 h" };
const LABELS = { rate: "Rate", errors: "Errors", p50: "Latency p50", p95: "Latency p95", p99: "Latency p99", mtls: "mTLS padlocks" };
const DISPLAY = { boxes: "Boxes by namespace", idle: "Idle nodes and edges", animation: "Traffic animation" };
const EXAMPLES = [
    ["%err > 1", "edges with more than 1 % errors"],
    ["rt > 200", "edges whose p95 is above 200 ms"],
    ["name = catalog", "nodes of that name"],
    ["ns = shop AND !healthy", "nodes in trouble in a namespace"],
    ["!mtls", "edges without mutual TLS"],
    ["protocol = tcp OR rps > 10", "one or the other"],
];

const checks = (attribute, entries) => Object.entries(entries)
    .map(([value, text]) => `<label><input type="checkbox" data-${attribute}="${value}">${text}</label>`).join("");

const toolbar = `
<h1 class="sr-only">Traffic graph</h1>
<div class="toolbar">
  <select class="select" id="graph-type" aria-label="Graph type">
    ${Object.entries(TYPES).map(([type, text]) => `<option value="${type}">${text}</option>`).join("")}
  </select>
  <select class="select" id="graph-window" aria-label="Time window">
    ${Object.entries(WINDOWS).map(([seconds, text]) => `<option value="${seconds}">${text}</option>`).join("")}
  </select>
  <details class="menu">
    <summary class="button">${icon("eye")}Display${icon("chevron-down")}</summary>
    <div class="menu-body">
      <p class="section-title menu-title">On edges</p>${checks("label", LABELS)}
      <p class="section-title menu-title">Show</p>${checks("display", DISPLAY)}
      <p class="section-title menu-title">Namespaces</p><div id="graph-namespaces"></div>
    </div>
  </details>
  <span class="grow"></span>
  <div class="field find">${icon("search")}<input id="graph-find" type="text" autocomplete="off" spellcheck="false"
    placeholder="Find %err > 1" aria-label="Find nodes and edges"><span class="count" id="graph-found" hidden title="found"></span><span class="kbd" aria-hidden="true">/</span></div>
  <div class="field hide">${icon("eye-off")}<input id="graph-hide" type="text" autocomplete="off" spellcheck="false"
    placeholder="Hide rps < 1" aria-label="Hide nodes and edges"></div>
  <details class="menu">
    <summary class="button icon-only" aria-label="How to find and hide">${icon("circle-help")}</summary>
    <div class="menu-body right find-help">
      <b>Find highlights, Hide takes away.</b> Kiali's language:
      <dl>${EXAMPLES.map(([query, text]) => `<dt>${query.replace(">", "&gt;")}</dt><dd>${text}</dd>`).join("")}</dl>
      <p class="keys"><span class="kbd">/</span> find <span class="kbd">f</span> fit <span class="kbd">t</span> table
        <span class="kbd">+</span> <span class="kbd">−</span> zoom <span class="kbd">←↑→↓</span> move along nodes <span class="kbd">Esc</span> deselect</p>
    </div>
  </details>
  <button class="button icon-only" type="button" data-action="table" aria-label="Show as tables">${icon("table-2")}</button>
  <button class="button icon-only" type="button" data-action="replay" aria-label="Look at an earlier moment">${icon("history")}</button>
</div>`;

const stage = `
<div class="graph-stage">
  <div id="graph-canvas" role="application" tabindex="0" aria-describedby="graph-summary"
    aria-label="Traffic graph. Arrow keys move along the nodes; press t for tables."></div>
  <canvas id="graph-traffic" aria-hidden="true"></canvas>
  <div id="graph-table" class="graph-table" hidden></div>
  <p id="graph-summary" class="sr-only" aria-live="polite"></p>
  <div id="graph-notice" class="note warn graph-notice" role="status" hidden>${icon("triangle-alert")}<div></div></div>
  <div id="graph-query-problem" class="note error graph-notice" role="alert" hidden>${icon("circle-alert")}<div></div></div>
  <div id="graph-loading" class="graph-empty"><div class="empty"><p>Waiting for the first numbers …</p></div></div>
  <div id="graph-empty" class="graph-empty" hidden><div class="empty">${icon("waypoints")}
    <h2>No workload has joined the mesh yet</h2>
    <p>Start something behind a sidecar and it appears here within seconds:</p>
    <code>meshscope run --service hello --port 8000 -- python3 -m http.server 8000</code></div></div>
  <details class="card legend">
    <summary>Legend${icon("chevron-down")}</summary>
    <div class="legend-body">
      <span><i class="swatch ok"></i>Healthy</span><span><i class="stroke"></i>HTTP, gRPC</span><span><i class="dot ok"></i>Request</span>
      <span><i class="swatch warn"></i>Degraded</span><span><i class="stroke tcp"></i>TCP</span><span><i class="dot error"></i>Failed request</span>
      <span><i class="swatch error"></i>Failing</span><span><i class="stroke idle"></i>Idle, stale</span><span>${icon("lock")}Mutual TLS</span>
      <span><i class="swatch idle"></i>No traffic</span><span>${icon("split")}Traffic shifting</span><span>${icon("zap")}Circuit breaker</span>
      <span>${icon("globe")}Declared host</span><span>${icon("log-out")}Passed on, undeclared</span><span>${icon("ban")}Refused, undeclared</span>
    </div>
  </details>
  <div class="graph-foot">
    <div class="card graph-stats">
      <span><b data-total="nodes">–</b> nodes</span><span><b data-total="edges">–</b> edges</span>
      <span title="Requests per second that enter the graph"><b data-total="rate">–</b> rps in</span><span title="Of the requests that enter the graph"><b data-total="errors">–</b> failed</span>
    </div>
    <div class="card zoom" role="group" aria-label="View">
      <button type="button" data-action="zoom-in" aria-label="Zoom in">${icon("plus")}</button>
      <button type="button" data-action="zoom-out" aria-label="Zoom out">${icon("minus")}</button>
      <button type="button" data-action="fit" aria-label="Fit the graph">${icon("maximize")}</button>
      <button type="button" data-action="arrange" aria-label="Arrange anew">${icon("refresh-cw")}</button>
    </div>
  </div>
</div>`;

const replay = `
<div class="replay" role="group" aria-label="Earlier moments" hidden>
  <button class="button icon-only" type="button" data-action="play" aria-label="Play from here">${icon("play")}</button>
  <b class="number" id="replay-time"></b>
  <input id="replay-at" type="range" aria-label="Moment">
  <span class="muted">1 h in steps of 10 s</span>
  <button class="button primary" type="button" data-action="live">Back to live</button>
</div>`;

export const markup = toolbar + stage + replay;
