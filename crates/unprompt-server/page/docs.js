// Shows openapi.json to people.
"use strict";

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function schema(title, content, parent) {
  for (const [type, { schema }] of Object.entries(content ?? {})) {
    const details = document.createElement("details");
    element("summary", `${title}: ${type}`, details);
    element("pre", JSON.stringify(schema, null, 2), details);
    parent.append(details);
  }
}

async function show() {
  const places = document.getElementById("places");
  const all = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(all.paths)) {
    // The page's own files, which nobody else needs.
    if (path.startsWith("/page/")) continue;
    for (const [method, place] of Object.entries(methods)) {
      element("h2", `${method.toUpperCase()} ${path}`, places);
      element("p", place.summary, places);
      schema("takes", place.requestBody?.content, places);
      schema("gives", place.responses["200"].content, places);
    }
  }
  element("h2", "Schemas", places);
  for (const [name, content] of Object.entries(all.components.schemas)) {
    const details = document.createElement("details");
    element("summary", name, details);
    element("pre", JSON.stringify(content, null, 2), details);
    places.append(details);
  }
}

show();
