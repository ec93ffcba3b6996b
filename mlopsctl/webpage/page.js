// The page of a model: it loads the runtime and the model from the scripts beside it, asks for a row or a file of rows,
// and shows what the model says. No address is opened; `mlopsctl` below is what a test of this very page drives.
"use strict";

const model = globalThis.mlopsctlModel;
const runtime = globalThis.mlopsctlRuntime;
const at = (id) => document.getElementById(id);
const ROWS_AT_ONCE = 256;
const ROWS_SHOWN = 200;
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: globalThis.Float16Array, bool: Uint8Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
};

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function base64Of(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

// --- The model ------------------------------------------------------------------------------------------------

let ort, session;

async function load() {
  const begun = performance.now();
  const address = URL.createObjectURL(new Blob([runtime.module], { type: "text/javascript" }));
  ort = await import(address);
  URL.revokeObjectURL(address);
  // One thread: more need a server that isolates the page, and a page opened as a file has none.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = bytesOf(runtime.wasm).buffer;
  session = await ort.InferenceSession.create(bytesOf(model.onnx), {
    executionProviders: ["wasm"], graphOptimizationLevel: "disabled",
  });
  return performance.now() - begun;
}

// Every output of one run, by name; `feeds` maps names to {type, dims, data}.
async function run(feeds) {
  const tensors = {};
  for (const [name, feed] of Object.entries(feeds)) tensors[name] = new ort.Tensor(feed.type, feed.data, feed.dims);
  return session.run(tensors);
}

function numberOf(text, type) {
  const word = text.trim();
  if (type.startsWith("float")) {
    if (word === "" || /^nan$/i.test(word)) return NaN;
    const value = Number(word);
    if (Number.isNaN(value)) throw new Error(`“${text}” is no number`);
    return value;
  }
  if (type === "bool" && /^(true|false)$/i.test(word)) return /^true$/i.test(word) ? 1 : 0;
  if (!/^[+-]?\d+(\.0*)?$/.test(word)) throw new Error(`“${text}” is no whole number`);
  const whole = BigInt(word.replace(/\.0*$/, "").replace("+", ""));
  const bits = type === "bool" ? 1 : Number(type.replace(/\D/g, ""));
  const least = type.startsWith("int") ? -(2n ** BigInt(bits - 1)) : 0n;
  if (whole < least || whole >= least + 2n ** BigInt(bits)) throw new Error(`“${text}” is outside ${type}`);
  return bits === 64 ? whole : Number(whole);
}

// What the model takes for rows of texts, one text a feature.
function feedsOf(rows) {
  const together = model.inputs.length === 1;
  const feeds = {};
  for (const input of model.inputs) {
    const places = together ? model.features.map((_, i) => i) : [model.features.indexOf(input.name)];
    const values = [];
    for (const [number, row] of rows.entries()) {
      for (const place of places) {
        try {
          values.push(input.dtype === "string" ? row[place] : numberOf(row[place], input.dtype));
        } catch (error) {
          throw Object.assign(new Error(`${model.features[place]}: ${error.message}`), { place, row: number });
        }
      }
    }
    const rest = input.shape.slice(1).map((size) => (size === null ? places.length : size));
    const kind = ARRAYS[input.dtype];
    if (input.dtype !== "string" && !kind) throw new Error(`this browser knows no ${input.dtype}`);
    const data = input.dtype === "string" ? values : kind.from(values);
    feeds[input.name] = { type: input.dtype, dims: [rows.length, ...rest], data };
  }
  return feeds;
}

// What the model says about rows of texts; a model made for a fixed number of rows gets copies of the last one.
async function ask(rows) {
  const size = model.batch || rows.length;
  const answers = [];
  for (let start = 0; start < rows.length; start += size) {
    const part = rows.slice(start, start + size);
    const count = part.length;
    while (part.length < size) part.push(part[part.length - 1]);
    const outputs = await run(feedsOf(part));
    for (let row = 0; row < count; row++) answers.push(read(outputs, row, part.length));
  }
  return answers;
}

// One row of the outputs: {said, scores: [{name, value}], exact}, where scores are the classes' or every number there is.
function read(outputs, row, rows) {
  let said, scores;
  const rest = [];
  for (const { name } of model.outputs) {
    const tensor = outputs[name];
    const width = tensor.data.length / rows;
    const values = Array.from(tensor.data.slice(row * width, (row + 1) * width));
    const numbers = tensor.type.startsWith("float");
    if (numbers && model.classes.length > 1 && width === model.classes.length && !scores) {
      scores = values.map((value, i) => ({ name: String(model.classes[i]), value }));
    } else if (!numbers && width === 1) {
      said = String(values[0]);
    } else {
      rest.push(...values.map((value, i) => ({ name: width === 1 ? name : `${name}[${i}]`, value })));
    }
  }
  if (said === undefined && scores) said = scores.reduce((best, one) => (one.value > best.value ? one : best)).name;
  if (said === undefined && rest.length === 1) said = shown(rest[0].value);
  const listed = scores ?? rest;
  const sum = listed.reduce((all, one) => all + Number(one.value), 0);
  const shares = Boolean(scores) && Math.abs(sum - 1) < 0.01 && listed.every((one) => one.value >= 0 && one.value <= 1);
  return { said: said ?? "", scores: listed, shares };
}

function shown(value) {
  if (typeof value !== "number") return String(value);
  return Number.isNaN(value) ? "not a number" : String(Number(value.toPrecision(7)));
}

// --- One row --------------------------------------------------------------------------------------------------

function put(parent, tag, text, attributes = {}) {
  const child = document.createElement(tag);
  if (text !== undefined) child.textContent = text;
  for (const [name, value] of Object.entries(attributes)) child.setAttribute(name, value);
  parent.append(child);
  return child;
}

function makeFields() {
  const fields = at("fields");
  fields.classList.toggle("dense", model.features.length > 24);
  const typed = (place) => model.inputs.find((input) => input.name === model.features[place]) ?? model.inputs[0];
  model.features.forEach((name, place) => {
    const label = put(fields, "label", name);
    const mode = typed(place).dtype === "string" ? "text" : "decimal";
    put(label, "input", undefined, { type: "text", inputmode: mode, autocomplete: "off", spellcheck: "false" });
  });
  at("paste").hidden = model.features.length < 2;
  at("gaps").hidden = !model.inputs.some((input) => input.dtype.startsWith("float"));
}

function inputs() {
  return [...at("fields").querySelectorAll("input")];
}

function fill() {
  const values = at("text").value.trim().split(/[\t;,]/);
  const fits = values.length === inputs().length;
  at("wrong").textContent = fits ? "" : `${values.length} values for ${inputs().length} fields`;
  if (fits) inputs().forEach((input, i) => { input.value = values[i].trim(); });
}

async function submit(event) {
  event.preventDefault();
  at("wrong").textContent = "";
  for (const input of inputs()) input.removeAttribute("aria-invalid");
  try {
    const [answer] = await ask([inputs().map((input) => input.value)]);
    showAnswer(answer);
  } catch (error) {
    at("wrong").textContent = error.message;
    at("answer").replaceChildren();
    const input = inputs()[error.place];
    if (input) { input.setAttribute("aria-invalid", "true"); input.focus(); }
  }
}

function showAnswer(answer) {
  const place = at("answer");
  place.replaceChildren();
  if (answer.said) put(place, "p", answer.said, { class: "said" });
  if (answer.scores.length > 1 || (answer.scores.length && answer.said !== shown(answer.scores[0].value))) {
    const body = put(put(place, "table"), "tbody");
    for (const { name, value } of answer.scores) {
      const line = put(body, "tr");
      put(line, "th", name, { scope: "row" });
      if (answer.shares) {
        const track = put(put(line, "td", undefined, { class: "share" }), "div", undefined, { class: "track" });
        put(track, "div", undefined, { class: "bar" }).style.width = `${100 * value}%`;
      }
      put(line, "td", answer.shares ? `${(100 * value).toFixed(1)} %` : shown(value), { class: "number" });
    }
  }
  if (matchMedia("(max-width: 50rem)").matches) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    at("answer-title").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
  }
}

// --- Many rows ------------------------------------------------------------------------------------------------

// The records of a CSV text (RFC 4180), cells as texts.
function recordsOf(text) {
  const records = [];
  let record = [], cell = "", quoted = false;
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const sign = text[i];
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[i + 1] === '"') { cell += '"'; i++; } else quoted = false;
    } else if (sign === '"' && cell === "") quoted = true;
    else if (sign === ",") { record.push(cell); cell = ""; }
    else if (sign === "\n" || sign === "\r") {
      if (sign === "\r" && text[i + 1] === "\n") i++;
      record.push(cell);
      if (record.length > 1 || cell !== "") records.push(record);
      record = []; cell = "";
    } else cell += sign;
  }
  record.push(cell);
  if (record.length > 1 || cell !== "") records.push(record);
  return records;
}

let answered = [];

async function chosen() {
  const [file] = at("file").files;
  if (!file) return;
  at("wrong-file").textContent = "";
  at("found").replaceChildren();
  at("save").hidden = at("table").hidden = true;
  try {
    await answerFile(recordsOf(await file.text()));
  } catch (error) {
    at("wrong-file").textContent = error.row === undefined ? error.message : `line ${error.row + 2}: ${error.message}`;
  } finally {
    at("progress").hidden = true;
    at("file").value = "";
  }
}

async function answerFile([head, ...records]) {
  if (!head || !records.length) throw new Error("the file has no rows");
  const places = model.features.map((name) => head.indexOf(name));
  const missing = model.features.filter((_, i) => places[i] < 0);
  if (missing.length) throw new Error(`the file has no column ${missing.slice(0, 5).join(", ")}`);
  const broken = records.findIndex((record) => record.length !== head.length);
  if (broken >= 0) throw new Error(`line ${broken + 2} has ${records[broken].length} cells, the first line ${head.length}`);
  answered = [];
  at("progress").hidden = false;
  for (let start = 0; start < records.length; start += ROWS_AT_ONCE) {
    const part = records.slice(start, start + ROWS_AT_ONCE).map((record) => places.map((place) => record[place]));
    try {
      answered.push(...(await ask(part)));
    } catch (error) {
      if (error.row !== undefined) error.row += start;
      throw error;
    }
    at("progress").value = answered.length / records.length;
    await new Promise((resume) => setTimeout(resume));
  }
  showFile(head, records);
}

function showFile(head, records) {
  const place = head.indexOf(model.label);
  const labels = place >= 0 ? records.map((record) => record[place]) : undefined;
  let text = `${answered.length} rows answered.`;
  if (labels && model.classes.length > 1) {
    const right = labels.filter((label, i) => sameLabel(label, answered[i].said)).length;
    text += ` ${right} of them (${((100 * right) / labels.length).toFixed(1)} %) as the column “${model.label}” says.`;
  }
  put(at("found"), "p", text);
  at("save").hidden = at("table").hidden = false;
  const table = at("table");
  table.replaceChildren();
  const whole = put(table, "table");
  const names = ["line", "answer", ...(labels ? [model.label] : [])];
  const line = put(put(whole, "thead"), "tr");
  for (const name of names) put(line, "th", name, { scope: "col" });
  const body = put(whole, "tbody");
  answered.slice(0, ROWS_SHOWN).forEach((answer, i) => {
    const row = put(body, "tr");
    put(row, "th", String(i + 2), { scope: "row" });
    put(row, "td", answer.said || answer.scores.map((one) => shown(one.value)).join(", "));
    if (labels) put(row, "td", labels[i]);
  });
  if (answered.length > ROWS_SHOWN) put(at("found"), "p", `The first ${ROWS_SHOWN} are shown.`, { class: "hint" });
}

function sameLabel(written, said) {
  const plain = written.trim();
  return plain === said || (plain !== "" && said !== "" && Number(plain) === Number(said));
}

function save() {
  const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const head = ["answer", ...answered[0].scores.map((one) => one.name)];
  const rows = answered.map((answer) => [answer.said, ...answer.scores.map((one) => String(one.value))]);
  const text = [head, ...rows].map((row) => row.map(quote).join(",")).join("\r\n") + "\r\n";
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: address, download: `${model.name}-answers.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// --- What a test of this page drives ---------------------------------------------------------------------------

// Feeds and answers are {name: {type, dims, data}} with data as the base64 of the bytes, or as a list of texts.
async function runEncoded(encoded) {
  const feeds = {};
  for (const [name, { type, dims, data }] of Object.entries(encoded)) {
    feeds[name] = { type, dims, data: type === "string" ? data : arrayOf(type, bytesOf(data)) };
  }
  const answers = {};
  for (const [name, tensor] of Object.entries(await run(feeds))) {
    const bytes = (array) => base64Of(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    const data = tensor.type === "string" ? tensor.data : bytes(tensor.data);
    answers[name] = { type: tensor.type, dims: tensor.dims, data };
  }
  return answers;
}

function arrayOf(type, bytes) {
  if (!ARRAYS[type]) throw new Error(`this browser knows no ${type}`);
  return new ARRAYS[type](bytes.buffer);
}

// Milliseconds a run of these feeds takes, in each of `rounds` rounds of `times` runs: a browser's clock is coarse.
async function time(encoded, rounds, times) {
  const feeds = {};
  for (const [name, { type, dims, data }] of Object.entries(encoded)) {
    feeds[name] = { type, dims, data: type === "string" ? data : arrayOf(type, bytesOf(data)) };
  }
  const found = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    for (let i = 0; i < times; i++) await run(feeds);
    found.push((performance.now() - begun) / times);
  }
  return found;
}

async function begin() {
  document.title = model.name;
  at("name").textContent = model.name;
  const about = { "Model": model.name, "SHA-256 of model.onnx": model.sha256, "Runtime": `onnxruntime-web ${runtime.version}` };
  for (const [term, text] of Object.entries(about)) { put(at("about"), "dt", term); put(at("about"), "dd", text); }
  makeFields();
  try {
    const spent = await load();
    at("state").textContent = "Ready. Everything stays on this device.";
    at("ask").disabled = at("file").disabled = false;
    return spent;
  } catch (error) {
    at("state").textContent = `The model does not load here: ${error.message}`;
    at("state").className = "wrong";
    throw error;
  }
}

at("row").addEventListener("submit", submit);
at("fill").addEventListener("click", fill);
at("file").addEventListener("change", chosen);
at("save").addEventListener("click", save);
globalThis.mlopsctl = { ready: begin(), run: runEncoded, time };
globalThis.mlopsctl.ready.catch(() => {});
