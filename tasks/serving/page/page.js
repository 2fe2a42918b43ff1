"use strict";

const MOST_ROWS = 20;
const FAINTEST = 0.08; // of the strongest word's change: below it, a word is not marked
const element = (id) => document.getElementById(id);
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(3)}`;

async function ask(path, question) {
  const headers = { "Content-Type": "application/json" };
  const token = element("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(question) });
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.json();
  if (response.ok) return answer;
  if (response.status === 401) showToken();
  const { detail } = answer;
  const told = typeof detail === "string" ? detail : detail.map((fault) => fault.msg).join("; ");
  throw Object.assign(new Error(told), { faults: response.status === 422 ? detail : [] });
}

function showToken() {
  element("token-row").hidden = false;
  element("token").required = true;
  element("token").focus();
}

function showProblem(message) {
  element("problem").textContent = message;
  element("problem").hidden = !message;
}

function showScore({ probability, label, model, version }) {
  element("label").textContent = label ? "positive" : "negative";
  element("probability").textContent = `probability of positive ${probability.toFixed(4)}`;
  element("version").textContent = `${model}, version ${version}`;
  element("needle").style.left = `${100 * probability}%`;
  element("result").hidden = false;
}

function describe(word) {
  return `${signed(word.change)}: ${word.without.toFixed(3)} without it${word.known ? "" : "; not in the vocabulary"}`;
}

function paint(letters, word, strongest) {
  const mark = document.createElement("span");
  mark.textContent = letters.slice(word.start, word.end).join("");
  mark.title = describe(word);
  if (!word.known) mark.classList.add("unknown");
  const strength = strongest ? Math.abs(word.change) / strongest : 0;
  if (strength >= FAINTEST) {
    const kind = word.change > 0 ? "raises" : "lowers";
    mark.classList.add(kind);
    mark.style.backgroundColor = `rgba(var(--${kind}), ${(0.6 * strength).toFixed(3)})`;
  }
  return mark;
}

function showWords(text, words) {
  const letters = Array.from(text); // by code points, as the server counts them
  const strongest = Math.max(0, ...words.map((word) => Math.abs(word.change)));
  const parts = [];
  let end = 0;
  for (const word of words) {
    parts.push(letters.slice(end, word.start).join(""), paint(letters, word, strongest));
    end = word.end;
  }
  element("text").replaceChildren(...parts, letters.slice(end).join(""));

  const written = (word) => letters.slice(word.start, word.end).join("");
  const unknown = new Set(words.filter((word) => !word.known).map((word) => written(word).toLowerCase()));
  element("unknown").textContent = unknown.size ? [...unknown].join(", ") : "None: all of them are in its vocabulary.";

  const counting = [...words].sort((one, other) => Math.abs(other.change) - Math.abs(one.change)).slice(0, MOST_ROWS);
  element("table").replaceChildren(...counting.map((word) => {
    const row = document.createElement("tr");
    for (const cell of [written(word), signed(word.change), word.without.toFixed(4)]) {
      row.append(Object.assign(document.createElement("td"), { textContent: cell }));
    }
    return row;
  }));
}

async function score(text) {
  try {
    const explained = await ask("/explain", { text });
    showWords(text, explained.words);
    element("explanation").hidden = false;
    showScore(explained);
  } catch (error) {
    // A text that is too long to be explained may still be scored.
    if (!(error.faults ?? []).some((fault) => fault.type === "too_many_words")) throw error;
    const { predictions: [prediction], ...version } = await ask("/predict", { texts: [text] });
    element("explanation").hidden = true;
    showScore({ ...prediction, ...version });
    showProblem(`Scored, and not explained: ${error.message}`);
  }
}

element("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("score").disabled = true;
  showProblem("");
  try {
    await score(element("review").value);
  } catch (error) {
    element("result").hidden = true;
    showProblem(error.message);
  } finally {
    element("score").disabled = false;
  }
});

element("review").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("form").requestSubmit();
});

fetch("/health").then((response) => response.json()).then(({ token }) => token && showToken()).catch(() => {
  showProblem("The server does not answer.");
});
