"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const html = document.documentElement;

  // Python wrote every figure, rank and sentence (selection.py): here they are looked up, sorted and filtered.

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function comparison(selection) {
    const { cells, strategies, parts, phrases, trust: said, networks, settings } = selection;
    const order = Object.keys(strategies), controls = $("controls"), table = $("ranking"), body = table.tBodies[0];
    const name = (one) => [el("span", { class: `mark ${strategies[one]}`, style: `--c:var(--s${order.indexOf(one)})`, "aria-hidden": "true" }), ...one.split(":").flatMap((part, at) => at ? [":", el("wbr", {}), part] : [part])];
    const chosen = (key) => (controls.elements[key] ? controls.elements[key].value : "");

    function row(view, answer, at) {
      const cell = cells[view.order[at]], rank = answer.ranks[at];
      const head = el("th", { scope: "row" }, ...name(cell.name));
      if (answer.tags[at]) head.append(" ", el("span", { class: "tag" }, answer.tags[at]));
      const figures = [cell.follows, cell.breaks, cell.tolerated, view.seconds[at], answer.times[at], view.wire[at], ...cell.figures];
      return el("tr", { class: answer.kinds[at] }, el("td", { class: "n" }, String(rank || "\u2013")), head, ...figures.map((text) => el("td", { class: "n" }, text)));
    }

    function bar(place, [total, value, segments]) {
      place.querySelector(".total b").textContent = total;
      place.querySelector(".bar").dataset.total = value;
      place.querySelector(".fill").replaceChildren(...segments.map(([label, , grow], at) =>
        el("span", { class: `p${at % 4}${label === "server" ? " server" : ""}`, style: `flex-grow:${grow}` })));
      place.querySelector(".parts").replaceChildren(...segments.map(([label, text]) => el("span", {}, `${label} `, el("b", {}, text))));
    }

    function bars(ranked) {
      const rows = ranked.map((cell) => {
        const row = $("bars-row").content.firstElementChild.cloneNode(true), [head, cpu, bytes] = row.children;
        row.style.setProperty("--c", `var(--s${order.indexOf(cell.name)})`);
        head.replaceChildren(...name(cell.name));
        bar(cpu, cell.bars[0]);
        bar(bytes, cell.bars[1]);
        return row;
      });
      $("bars").replaceChildren(...(rows.length ? rows : [el("p", {}, table.dataset.none)]));
      scale();
    }

    function scale() {
      const same = $("same-scale").checked, note = $("scale-note");
      for (const column of [2, 3]) {
        const all = [...document.querySelectorAll(`.bars-row > :nth-child(${column}) .bar`)];
        const most = Math.max(...all.map((one) => Number(one.dataset.total)));
        for (const one of all) one.firstElementChild.style.width = same && most ? `${100 * one.dataset.total / most}%` : "";
      }
      note.textContent = same ? note.dataset.same : note.dataset.own;
    }

    // Whom the reader trusts; what is not answered, or is no such number, is open
    function asked(hospitals) {
      const counts = ["colluding", "dropouts"].map((key) => controls.elements[key]);
      for (const one of counts) one.max = hospitals - 1;
      const given = { server: chosen("server") };
      for (const one of counts) given[one.name] = one.validity.valid && one.value !== "" ? Number(one.value) : "";
      const missing = Object.keys(given).filter((key) => given[key] === "");
      const counted = (key) => said.counted[key][Math.min(given[key], 2)].replace("{n}", given[key]);
      const words = missing.length ? "" : `, ${said.servers[given.server]}, ${counted("colluding")} and ${counted("dropouts")}`;
      return { ...given, missing: missing.join("|"), words };
    }

    function answered(setting, view, trust) {
      if (trust.missing) return { ...view.answers[0], why: said.open[trust.missing] };
      const step = (limits, value) => (limits.findIndex((limit) => value <= limit) + limits.length + 1) % (limits.length + 1);
      const [colluding, dropouts] = setting.limits[trust.server];
      return view.answers[view.trust[trust.server][step(colluding, trust.colluding)][step(dropouts, trust.dropouts)]];
    }

    function cards(here) {
      for (const card of document.querySelectorAll("#trust-table tr[data-strategy]")) {
        const cell = here.find((one) => one.name === card.dataset.strategy);
        for (const key of ["follows", "breaks", "dropouts"]) card.querySelector(`.${key}`).textContent = cell ? cell[key] : "\u2013";
      }
    }

    function update() {
      const named = chosen("network"), setting = settings[parts.map(chosen).join("|")];
      const here = setting ? setting.cells.map((at) => cells[at]) : [];
      const view = setting ? setting.networks[named] : { order: [] };
      const trust = asked(Number(chosen("hospitals")));
      const answer = view.order.length ? answered(setting, view, trust) : { first: -1, best: "", why: table.dataset.none };
      const words = parts.map((part) => (phrases[part][chosen(part)] || "")).join("");
      $("phases-for").textContent = `${words}, over ${networks[named]}`;
      $("for").textContent = `${words}, over ${networks[named]}${trust.words}`;
      $("trust-for").textContent = words;
      const headline = said.headlines[trust.missing && view.order.length ? "open" : "none"];
      $("best").replaceChildren(...(answer.best ? name(answer.best) : [headline]));
      $("why").textContent = answer.why;
      $("promise").textContent = answer.first < 0 ? "" : cells[view.order[answer.first]].promise;
      const none = el("tr", {}, el("td", { colspan: "12" }, table.dataset.none));
      body.replaceChildren(...(view.order.length ? view.order.map((_, at) => row(view, answer, at)) : [none]));
      $("unranked").replaceChildren(...here.filter((cell) => cell.unranked).map((cell) => el("li", {}, el("b", {}, cell.name), `: ${cell.unranked}`)));
      bars(view.order.map((at) => cells[at]));
      cards(here);
    }

    if (!cells.length) return;
    controls.hidden = false;
    for (const node of document.querySelectorAll(".js")) node.hidden = false;
    controls.addEventListener("input", update);
    controls.addEventListener("submit", (event) => event.preventDefault());
    $("same-scale").addEventListener("change", scale);
    update();
  }

  // Tables: sorted by their heads; long ones are shown in parts

  function sortable(table) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const all = [...body.rows];
    const step = Number(table.dataset.page);
    let kept = all, from = 0;

    function show() {
      const until = Math.min(from + step, kept.length);
      body.replaceChildren(...kept.slice(from, until));
      table.dispatchEvent(new CustomEvent("shown", { detail: { from, until, kept: kept.length, all: all.length } }));
    }

    function key(row, column) {
      const cell = row.cells[column], value = cell.dataset.v;
      if (value === undefined) return cell.textContent.trim().toLowerCase();
      return value === "" ? null : Number(value);
    }

    function sort(column) {
      const descending = heads[column].getAttribute("aria-sort") === "ascending";
      heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : descending ? "descending" : "ascending"));
      const keys = new Map(all.map((row) => [row, key(row, column)]));
      all.sort((one, other) => {
        const [a, b] = [keys.get(one), keys.get(other)];
        if (a === null || b === null) return (a === null) - (b === null);
        return (a < b ? -1 : a > b ? 1 : 0) * (descending ? -1 : 1);
      });
      filter(test);
    }

    let test = () => true;
    function filter(wanted) {
      test = wanted;
      kept = all.filter(test);
      from = 0;
      show();
    }

    heads.forEach((head, column) => {
      head.setAttribute("aria-sort", "none");
      const button = el("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => sort(column));
      head.replaceChildren(button);
    });
    return { filter, show, turn(by) { from = Math.max(0, Math.min(from + by * step, kept.length - 1)); show(); } };
  }

  function measurements() {
    const source = $("cells-source");
    const made = el("template");
    made.innerHTML = source.textContent; // the page's own markup, which browsers without JavaScript show as it is
    const table = made.content.querySelector("table"), filters = $("filters");
    table.addEventListener("shown", ({ detail }) => {
      const shown = $("shown"), { all, matching, none } = shown.dataset;
      const text = !detail.kept ? none : detail.kept < detail.all ? matching : all;
      const numbers = { from: detail.from + 1, until: detail.until, kept: detail.kept, all: detail.all };
      shown.textContent = text.replace(/{(\w+)}/g, (_, key) => numbers[key].toLocaleString("en-US"));
      $("earlier").disabled = detail.from === 0;
      $("later").disabled = detail.until >= detail.kept;
    });
    const rows = sortable(table);
    const apply = () => {
      const { strategy, status, text } = filters.elements;
      const sought = text.value.trim().toLowerCase();
      rows.filter((row) => (!strategy.value || row.dataset.s === strategy.value) && (!status.value || row.dataset.t === status.value)
        && (!sought || row.textContent.toLowerCase().includes(sought)));
    };
    filters.hidden = false;
    filters.addEventListener("input", apply);
    filters.addEventListener("submit", (event) => event.preventDefault());
    $("earlier").addEventListener("click", () => rows.turn(-1));
    $("later").addEventListener("click", () => rows.turn(1));
    rows.show();
    $("cells-place").replaceChildren(made.content);
  }

  function theme() {
    const button = $("theme"), system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (html.dataset.theme ? html.dataset.theme === "dark" : system.matches);
    const label = () => { button.textContent = dark() ? button.dataset.light : button.dataset.dark; };
    try { html.dataset.theme = localStorage.getItem("fedsec-theme") || ""; } catch { /* a page from a file may have no storage */ }
    button.addEventListener("click", () => {
      html.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("fedsec-theme", html.dataset.theme); } catch { /* as above */ }
      label();
    });
    system.addEventListener("change", label);
    button.hidden = false;
    label();
  }

  theme();
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  for (const table of document.querySelectorAll("table.sortable")) sortable(table).show();
  const data = $("data");
  if (data) {
    comparison(JSON.parse(data.textContent));
    measurements();
  }
})();
