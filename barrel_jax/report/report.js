// SPDX-License-Identifier: Apache-2.0
// What moves on a report's page. Texts are set as text, never as HTML.
"use strict";

const all = (where, what) => [...where.querySelectorAll(what)];
const make = (tag, properties = {}, ...content) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...content);
  return node;
};
const read = (where) => JSON.parse(where.querySelector(":scope > script").textContent);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Numbers before nothing in either direction; texts in the reader's order.
function ordered(rows, value, descending) {
  const sign = descending ? -1 : 1;
  const texts = new Intl.Collator(undefined, { numeric: true });
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : texts.compare(a, b));
  };
  return rows.map((row) => [value(row), row]).sort((a, b) => compare(a[0], b[0])).map((pair) => pair[1]);
}

// Heads of columns: one press sorts numbers from the largest and texts from the first, the next turns it round.
function sortable(table, sort) {
  const heads = all(table, "thead th");
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : head.classList.contains("number");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(column, descending);
    });
  });
}

function sortRows(table) {
  const body = table.tBodies[0];
  const value = (column) => (row) => {
    const cell = row.cells[column];
    if (cell.dataset.value === undefined) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  sortable(table, (column, descending) => body.append(...ordered([...body.rows], value(column), descending)));
}

function longTable(part) {
  const { digits, rows } = read(part);
  const [table, search] = [part.querySelector("table"), part.querySelector("input")];
  const [more, told] = [part.querySelector("button[type=button][hidden]"), part.querySelector("output")];
  const most = 50;
  let sorted = rows, found = rows, shown = 0;
  const text = (cell, places) => {
    if (cell === null) return "–";
    return places === null ? cell : cell.toFixed(places);
  };
  const drawn = (row) => {
    const cells = row.map((cell, column) => make(column ? "td" : "th", {
      textContent: text(cell, digits[column]), className: digits[column] === null ? "" : "number",
    }));
    cells[0].scope = "row";
    return make("tr", {}, ...cells);
  };
  const add = () => {
    table.tBodies[0].append(...found.slice(shown, shown + most).map(drawn));
    shown = Math.min(shown + most, found.length);
    more.hidden = shown === found.length;
    more.textContent = `Show ${Math.min(most, found.length - shown)} more`;
    told.textContent = ` ${shown} of ${found.length} rows`;
  };
  const restart = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    found = sorted.filter((row) => {
      const line = row.map((cell, column) => text(cell, digits[column])).join(" ").toLowerCase();
      return words.every((word) => line.includes(word));
    });
    shown = 0;
    table.tBodies[0].replaceChildren();
    add();
  };
  more.addEventListener("click", add);
  search.addEventListener("input", restart);
  sortable(table, (column, descending) => {
    sorted = ordered(rows, (row) => row[column], descending);
    restart();
  });
  restart();
}

function plot(figure) {
  const { lines, x: [low, high, log], log: logarithmic, units } = read(figure);
  const [area, slider] = [figure.querySelector(".area"), figure.querySelector("input[type=range]")];
  const [told, cells] = [figure.querySelector("output"), all(figure, ".there")];
  const at = (share) => between(low, high, share, log);
  const short = (value, unit) => `${Number(value.toPrecision(4))}${unit}`;
  // As far from `from` to `to` as a straight line of the drawing is, where an axis may be logarithmic.
  const between = (from, to, share, log) => (log ? from * (to / from) ** share : from + share * (to - from));
  const height = ({ x, y }, place) => {
    let last = -1;
    while (last + 1 < x.length && x[last + 1] <= place + 1e-9 * Math.abs(high)) last += 1;
    if (last < 0) return "–";
    if (last + 1 === x.length || x[last] >= place) return short(y[last], units[1]);
    const [here, from, to] = [place, x[last], x[last + 1]].map((value) => (log ? Math.log(value) : value));
    return short(between(y[last], y[last + 1], (here - from) / (to - from), logarithmic), units[1]);
  };
  const show = () => {
    const place = at(Number(slider.value));
    const heights = lines.map((line) => height(line, place));
    figure.querySelector(".cursor").style.left = `${100 * slider.value}%`;
    heights.forEach((words, line) => { cells[line].textContent = words; });
    told.textContent = ` ${short(place, units[0])}`;
    slider.setAttribute("aria-valuetext",
      `${short(place, units[0])}: ${lines.map(({ name }, line) => `${name} ${heights[line]}`).join(", ")}`);
  };
  slider.addEventListener("input", show);
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    slider.value = clamp((event.clientX - box.left) / box.width, 0, 1);
    show();
  });
  all(figure, "input[type=checkbox]").forEach((box) => box.addEventListener("change", () => {
    figure.querySelector(`path[data-line="${box.dataset.line}"]`).style.display = box.checked ? "" : "none";
  }));
  show();
}

function shape(figure) {
  const told = figure.querySelector("output");
  all(figure, "circle").forEach((dot) => dot.addEventListener("pointerenter", () => {
    told.textContent = dot.dataset.words;
  }));
}

function faces(part) {
  const [dialog, switches] = [part.querySelector("dialog"), part.querySelector(".switches")];
  const [pane, zoom] = [dialog.querySelector(".pane"), dialog.querySelector("input[type=range]")];
  const buttons = all(part, ".grid button");
  const act = (value) => dialog.querySelector(`button[value=${value}]`);
  let current = 0;
  // What lies in the middle of the pane stays there.
  const setZoom = (value) => {
    const middle = ["Left", "Top"].map((side) => {
      const [length, whole] = side === "Left" ? ["clientWidth", "scrollWidth"] : ["clientHeight", "scrollHeight"];
      return [`scroll${side}`, length, whole, (pane[`scroll${side}`] + pane[length] / 2) / pane[whole]];
    });
    zoom.value = value;
    pane.style.setProperty("--zoom", zoom.value);
    zoom.setAttribute("aria-valuetext", `${zoom.value} times`);
    middle.forEach(([side, length, whole, share]) => { pane[side] = share * pane[whole] - pane[length] / 2; });
  };
  const show = (place) => {
    current = clamp(place, 0, buttons.length - 1);
    pane.replaceChildren(buttons[current].querySelector(".face").cloneNode(true));
    dialog.querySelector("output").textContent =
      all(buttons[current].parentNode, "figcaption > *").map((part) => part.textContent).join(" · ");
    act("previous").disabled = current === 0;
    act("next").disabled = current === buttons.length - 1;
  };
  buttons.forEach((button, place) => button.addEventListener("click", () => {
    show(place);
    dialog.prepend(switches);
    dialog.showModal();
    setZoom(1);
    pane.focus();
  }));
  dialog.addEventListener("close", () => {
    part.prepend(switches);
    buttons[current].focus();
  });
  act("previous").addEventListener("click", () => show(current - 1));
  act("next").addEventListener("click", () => show(current + 1));
  act("close").addEventListener("click", () => dialog.close());
  zoom.addEventListener("input", () => setZoom(zoom.value));
  pane.addEventListener("wheel", (event) => {
    if (!event.deltaY) return; // sideways
    event.preventDefault();
    setZoom(Number(zoom.value) * (event.deltaY < 0 ? 1.25 : 0.8));
  });
  pane.addEventListener("keydown", (event) => {
    const steps = { "+": 1, "=": 1, "-": -1 };
    if (event.key in steps) setZoom(Number(zoom.value) + steps[event.key]);
  });
  pane.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pane.focus();
    pane.setPointerCapture(event.pointerId);
  });
  pane.addEventListener("pointermove", (event) => {
    if (!pane.hasPointerCapture(event.pointerId)) return;
    pane.scrollLeft -= event.movementX;
    pane.scrollTop -= event.movementY;
  });
}

function attention(part) {
  const { side, maps, largest, points } = read(part);
  const select = part.querySelector("select");
  const views = all(part, "figure").map((figure, face) => {
    const [view, svg] = [figure.querySelector(".face"), figure.querySelector("svg")];
    const canvas = make("canvas", { width: side, height: side });
    svg.before(canvas);
    const marks = ["chosen rim", "chosen"].map((name) => {
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
      mark.setAttribute("class", name);
      svg.append(mark);
      return mark;
    });
    const shades = Uint8Array.from(atob(maps[face]), (letter) => letter.charCodeAt(0));
    view.addEventListener("click", (event) => {
      const box = view.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const far = points[face].map((point) => Math.hypot(point[0] - x, point[1] - y));
      select.value = far.indexOf(Math.min(...far));
      show();
    });
    return { canvas, marks, shades, told: figure.querySelector("output") };
  });
  const show = () => {
    const landmark = Number(select.value);
    views.forEach(({ canvas, marks, shades, told }, face) => {
      const context = canvas.getContext("2d");
      const picture = context.createImageData(side, side);
      for (let cell = 0; cell < side * side; cell += 1) {
        picture.data.set([255, 0, 130, 0.75 * shades[landmark * side * side + cell]], 4 * cell);
      }
      context.putImageData(picture, 0, 0);
      const [x, y] = points[face][landmark];
      marks.forEach((mark) => mark.setAttribute("d", `M${x} ${y}h0`));
      told.textContent = `largest cell: ${largest[face][landmark]} %`;
    });
  };
  select.addEventListener("change", show);
  show();
}

all(document, "table").filter((table) => table.tHead?.querySelector("button") && !table.closest(".long")).forEach(sortRows);
all(document, ".long").forEach(longTable);
all(document, ".plot").forEach(plot);
all(document, ".shape").forEach(shape);
all(document, ".faces").forEach(faces);
all(document, ".attention").forEach(attention);
