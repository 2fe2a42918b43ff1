"use strict";

const element = (id) => document.getElementById(id);
const make = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });

function fold(title, content) {
  const details = document.createElement("details");
  details.append(make("summary", title), make("pre", JSON.stringify(content, null, 2)));
  return details;
}

const schemaName = (content) => Object.values(content ?? {})[0]?.schema?.$ref?.split("/").pop();

function describeOperation(path, method, operation) {
  const section = make("section", "");
  section.className = "operation";
  section.append(make("h2", `${method.toUpperCase()} ${path}`), make("p", operation.description ?? operation.summary));
  if (operation.security) section.append(make("p", "Asks for the server’s token: Authorization: Bearer …"));
  if (operation.requestBody) section.append(fold("body", Object.values(operation.requestBody.content)[0].schema));
  const answers = document.createElement("ul");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const name = schemaName(answer.content);
    answers.append(make("li", `${status} ${answer.description}${name ? `: ${name}` : ""}`));
  }
  section.append(make("p", "Answers"), answers);
  return section;
}

fetch("/openapi.json").then((response) => response.json()).then((api) => {
  element("title").textContent = `${api.info.title} ${api.info.version}`;
  element("description").textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      element("operations").append(describeOperation(path, method, operation));
    }
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) element("schemas").append(fold(name, schema));
});
