// Draws every chart of the page from the specification that stands beside it.
for (const figure of document.querySelectorAll("figure")) {
  const spec = JSON.parse(figure.querySelector(".spec").textContent);
  vegaEmbed(figure.querySelector(".chart"), spec, {
    renderer: "svg",
    // The editor is on another host, and so not for a page that works offline.
    actions: { export: true, source: false, compiled: false, editor: false },
    downloadFileName: figure.id,
  }).then(() => figure.setAttribute("data-drawn", ""));
}
