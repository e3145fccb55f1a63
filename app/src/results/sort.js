document.querySelectorAll("table.sortable th").forEach(function (heading) {
  heading.addEventListener("click", function () {
    var body = heading.closest("table").tBodies[0];
    var column = Array.prototype.indexOf.call(heading.parentNode.children, heading);
    var down = heading.getAttribute("data-down") === "1" ? -1 : 1;
    heading.setAttribute("data-down", down === 1 ? "1" : "0");
    var key = function (row) { return row.children[column].getAttribute("data-key") || ""; };
    Array.prototype.slice.call(body.rows).sort(function (a, b) {
      var x = parseFloat(key(a)), y = parseFloat(key(b));
      if (isNaN(x) || isNaN(y)) { return down * key(a).localeCompare(key(b)); }
      return down * (x - y);
    }).forEach(function (row) { body.appendChild(row); });
  });
});
