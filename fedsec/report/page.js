"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const html = document.documentElement;
  const SPACE = "\u00a0", NONE = "\u2013";

  // Numbers, as in units.py

  const SECONDS = [["h", 3600], ["min", 60], ["s", 1], ["ms", 1e-3], ["µs", 1e-6]];
  const BYTES = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3], ["B", 1]];
  const BITS = [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3], ["bit/s", 1]];
  const digits = (value) => (value ? Number(value).toPrecision(3) : "0");
  const count = (value) => (value === null || value === undefined ? NONE : value.toLocaleString("en-US", { maximumFractionDigits: 20 }));
  const large = (value) => Number(value.toPrecision(3)).toLocaleString("en-US");
  const short = (number) => (number.includes(".") ? number.replace(/0+$/, "").replace(/\.$/, "") : number);

  function unit(value, units) {
    if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
    const [smallest, least] = units[units.length - 1];
    if (value < least * 1e-3) return value === 0 ? "0" : `<${SPACE}0.001${SPACE}${smallest}`;
    const [name, size] = units.find(([, size]) => value / size >= 0.9995) || units[units.length - 1];
    const scaled = value / size;
    if (scaled >= 999.5) return `${large(scaled)}${SPACE}${name}`;
    const whole = name === "B" && scaled >= 1 && Number.isInteger(scaled);
    return `${whole ? scaled : digits(scaled)}${SPACE}${name}`;
  }
  const time = (value) => unit(value, SECONDS);
  const size = (value) => unit(value, BYTES);
  const trimmed = (text) => text.replace(/^[^\u00a0]*/, short);
  const speed = (value) => trimmed(unit(8 * value, BITS));
  const times = (value) => (Number.isFinite(value) ? `${value < 999.5 ? digits(value) : large(value)}${SPACE}×` : NONE);
  const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;
  const words = (items) => (items.length > 1 ? `${items.slice(0, -1).join(", ")} and ${items[items.length - 1]}` : items.join(""));

  // The model, as in analysis.py

  const whole = (cell) => cell.phases !== undefined;

  function wire(cell, network) {
    let total = 0;
    for (const [, , down, up] of cell.phases) total += 2 * network.latency + down / network.down + up / network.up;
    return total;
  }
  const seconds = (cell, network) => wire(cell, network) + cell.hospital[0] + cell.server[0];

  function promises(cell, trust) {
    if (trust === "any") return true;
    return !!cell.withstands && cell.withstands[trust === "follows" ? 0 : 1] >= 0;
  }

  function ranking(cells, network, trust, families) {
    const places = cells.filter(whole).map((cell) => {
      const path = wire(cell, network);
      return {
        cell, family: families[cell.name], wire: path, seconds: path + cell.hospital[0] + cell.server[0],
        low: path + cell.hospital[1] + cell.server[1], high: path + cell.hospital[2] + cell.server[2], rank: 0,
      };
    }).sort((one, other) => one.seconds - other.seconds);
    let rank = 0;
    for (const place of places) if (place.family !== "clear" && promises(place.cell, trust)) place.rank = ++rank;
    return places;
  }

  function answer(places) {
    const [best, second] = places.filter((place) => place.rank);
    if (!best) return ["", "No strategy with a whole round in this setting promises this."];
    const parts = [`A round takes ${time(best.seconds)} from end to end.`];
    if (!second) parts.push("It is the only one that qualifies.");
    else {
      const close = ": no clear difference, as measurements spread wider than that.";
      const ratio = `, ${times(second.seconds / best.seconds)} as long.`;
      parts.push(`The next, ${second.cell.name}, takes ${time(second.seconds)}${second.low <= best.high ? close : ratio}`);
    }
    const clear = places.find((place) => place.family === "clear");
    if (clear) parts.push(`Without protection, ${clear.cell.name} takes ${time(clear.seconds)}; ${best.cell.name} takes ${times(best.seconds / clear.seconds)} as long.`);
    return [best.cell.name, parts.join(" ")];
  }

  function promise(cell) {
    const parts = [];
    if (cell.withstands) {
      const [follows, breaks] = cell.withstands;
      const one = follows >= 0
        ? `withstands ${plural(follows, "colluding hospital")} while the server follows the protocol`
        : "promises nothing about colluding hospitals while the server follows the protocol";
      const other = breaks >= 0 ? `${count(breaks)} if it breaks it` : "promises nothing if the server breaks it";
      parts.push(`It ${one}, and ${other}.`);
    }
    const silent = Object.entries(cell.tolerance).map(([phase, number]) => `${count(number)} in ${phase}`);
    if (silent.length) parts.push(`Hospitals that may fall silent: ${words(silent)}.`);
    return parts.join(" ");
  }

  function said(setting) {
    const keys = setting.key_bits ? `, keys of ${count(setting.key_bits)} bits` : "";
    const silent = setting.dropout ? `, ${(100 * setting.dropout).toFixed(0)}${SPACE}% of the hospitals silent` : "";
    return `${plural(setting.hospitals, "hospital")}, ${plural(setting.parameters, "parameter")} of ${setting.bits} bits${keys}${silent}`;
  }

  function networkSaid(name, network) {
    const [down, up] = [speed(network.down), speed(network.up)];
    const text = `${down === up ? down : `${down} down, ${up} up`}, ${trimmed(time(network.latency))}`;
    return name ? `${name} (${text})` : text;
  }

  // The document

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function comparison(document_) {
    const { cells, strategies } = document_;
    const order = Object.keys(strategies), controls = $("controls");
    const name = (one) => [el("span", { class: `mark ${strategies[one]}`, style: `--c:var(--s${order.indexOf(one)})`, "aria-hidden": "true" }), ...one.split(":").flatMap((part, at) => at ? [":", el("wbr", {}), part] : [part])];
    const table = $("ranking"), body = table.tBodies[0];

    function chosen() {
      const setting = { ...document_.opening };
      for (const key of Object.keys(setting)) if (controls.elements[key]) setting[key] = Number(controls.elements[key].value);
      return setting;
    }

    function network() {
      const named = controls.elements.network.value;
      $("own").hidden = named !== "";
      for (const input of $("own").querySelectorAll("input")) input.disabled = named !== "";
      if (named) return [named, document_.networks[named]];
      const value = (key) => controls.elements[key].valueAsNumber;
      return ["", { down: value("down") * 1e6 / 8, up: value("up") * 1e6 / 8, latency: value("latency") / 1e3 }];
    }

    const withstood = (cell, which) => (cell && cell.withstands && cell.withstands[which] >= 0 ? count(cell.withstands[which]) : NONE);

    function row(place, first) {
      const { cell } = place;
      const tags = [];
      if (place.family === "clear") tags.push("baseline");
      else if (!place.rank) tags.push("does not promise this");
      if (cell.status === "extrapolated") tags.push("extrapolated");
      const head = el("th", { scope: "row" }, ...name(cell.name));
      if (tags.length) head.append(" ", el("span", { class: "tag" }, tags.join(", ")));
      const figures = [
        time(place.seconds), first ? times(place.seconds / first.seconds) : NONE, time(place.wire), time(cell.hospital[0]),
        time(cell.server[0]), size(cell.up_most), String(cell.phases.length), withstood(cell, 0), withstood(cell, 1),
      ].map((text) => el("td", { class: "n" }, text));
      const kind = place.rank === 1 ? "first" : place.rank ? "" : "aside";
      return el("tr", { class: kind }, el("td", { class: "n" }, String(place.rank || NONE)), head, ...figures);
    }

    function bar(parts) {
      const total = parts.reduce((sum, part) => sum + part.value, 0);
      const fill = el("div", { class: "fill" }, ...parts.map((part, place) =>
        el("span", { class: `p${place % 4}${part.server ? " server" : ""}`, style: `flex-grow:${(total ? part.value / total : 0).toFixed(4)}` })));
      const texts = parts.map((part) => el("span", {}, `${part.label} `, el("b", {}, part.text)));
      return [total, el("div", { class: "bar", "data-total": total }, fill), el("p", { class: "parts" }, ...texts)];
    }

    function bars(places) {
      const rows = places.map(({ cell }) => {
        const cpu = cell.phases.map(([label, value]) => ({ label, value, text: time(value) }));
        cpu.push({ label: "server", value: cell.server[0], text: time(cell.server[0]), server: true });
        const bytes = cell.phases.map(([label, , down, up]) => ({ label, value: down + up, text: `${size(down)} down, ${size(up)} up` }));
        const [seconds, ...first] = bar(cpu), [sizes, ...second] = bar(bytes);
        const row = el("div", { class: "bars-row" }, el("h3", {}, ...name(cell.name)),
          el("div", {}, el("p", { class: "total" }, "CPU, one after another ", el("b", {}, time(seconds))), ...first),
          el("div", {}, el("p", { class: "total" }, "Bytes at the busiest hospital ", el("b", {}, size(sizes))), ...second));
        row.style.setProperty("--c", `var(--s${order.indexOf(cell.name)})`);
        return row;
      });
      $("bars").replaceChildren(...(rows.length ? rows : [el("p", {}, "No strategy has a whole round in this setting.")]));
      scale();
    }

    function scale() {
      const same = $("same-scale").checked;
      for (const column of [2, 3]) {
        const all = [...document.querySelectorAll(`.bars-row > :nth-child(${column}) .bar`)];
        const most = Math.max(...all.map((one) => Number(one.dataset.total)));
        for (const one of all) one.firstElementChild.style.width = same && most ? `${100 * one.dataset.total / most}%` : "";
      }
      $("scale-note").textContent = same ? "All bars have one scale: lengths compare strategies." : "Each bar is one strategy's own total: lengths compare its phases with each other.";
    }

    function trust(here) {
      for (const card of document.querySelectorAll("#trust-table tr[data-strategy]")) {
        const cell = here.find((one) => one.name === card.dataset.strategy);
        card.querySelector(".follows").textContent = withstood(cell, 0);
        card.querySelector(".breaks").textContent = withstood(cell, 1);
        const silent = cell ? Object.entries(cell.tolerance).map(([phase, number]) => `${phase}${SPACE}${count(number)}`) : [];
        card.querySelector(".silent").textContent = silent.join(", ") || NONE;
      }
    }

    function update() {
      if (!document_.opening) return;
      const [named, where] = network();
      if (!controls.checkValidity()) {
        $("why").textContent = "The network's figures must be numbers above 0; the latency may be 0.";
        return;
      }
      const setting = chosen();
      const here = cells.filter((cell) => ["hospitals", "parameters", "bits", "dropout"].every((key) => cell[key] === setting[key])
        && (cell.key_bits === null || cell.key_bits === setting.key_bits));
      const places = ranking(here, where, controls.elements.trust.value, strategies);
      const first = places.find((place) => place.rank);
      const [best, why] = answer(places);
      $("for").textContent = $("phases-for").textContent = `${said(setting)}, over ${networkSaid(named, where)}`;
      $("best").replaceChildren(...(best ? name(best) : ["No answer"]));
      $("why").textContent = why;
      $("promise").textContent = first ? promise(first.cell) : "";
      const none = el("tr", {}, el("td", { colspan: "11" }, "No strategy has a whole round in this setting."));
      body.replaceChildren(...(places.length ? places.map((place) => row(place, first)) : [none]));
      $("unranked").replaceChildren(...here.filter((cell) => !whole(cell)).map((cell) =>
        el("li", {}, el("b", {}, cell.name), `: ${cell.status}${cell.note ? `: ${cell.note}` : ""}`)));
      $("trust-for").textContent = `Numbers are for ${said(setting)}.`;
      bars(places);
      trust(here);
    }

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
      const some = detail.kept ? `${count(detail.from + 1)}${NONE}${count(detail.until)}` : "0";
      const filtered = detail.kept < detail.all ? ` that match, of ${count(detail.all)}` : "";
      $("shown").textContent = `${some} of ${count(detail.kept)} cells${filtered}`;
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
    const label = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
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
  for (const table of document.querySelectorAll("table.sortable")) sortable(table).show();
  const data = $("data");
  if (data) {
    comparison(JSON.parse(data.textContent));
    measurements();
  }
  window.fedsec = { seconds, ranking, answer, promise, time, size, speed, times, count };
})();
