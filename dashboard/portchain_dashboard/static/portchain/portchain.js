/* The panel for service function chaining: lists whose order counts, rows of service graphs, and
 * pictures that are asked for again. */
(function () {
  "use strict";

  var SECONDS = 2;

  function element(name, text, attributes) {
    var made = document.createElement(name);
    made.textContent = text || "";
    Object.keys(attributes || {}).forEach(function (key) {
      made.setAttribute(key, attributes[key]);
    });
    return made;
  }

  /* A list of several to choose from becomes a numbered list that can be moved. The browser sends
   * the chosen options in the order of the hidden list, so the options are moved there. */
  function makeOrdered(select) {
    if (select.dataset.ready) {
      return;
    }
    select.dataset.ready = "yes";
    var order = element("ol", "", {"class": "portchain-order"});
    var adder = element("select", "", {"class": "form-control", "aria-label": "Add"});
    select.hidden = true;
    select.style.display = "none";
    select.after(order, adder);

    function move(option, chosen, before) {
      option.selected = chosen;
      select.insertBefore(option, before);
      show();
    }

    function button(text, label, act) {
      var made = element("button", text, {
        "type": "button", "class": "btn btn-default btn-sm", "aria-label": label, "title": label
      });
      made.addEventListener("click", act);
      return made;
    }

    function show() {
      var chosen = Array.from(select.options).filter(function (one) { return one.selected; });
      var rest = Array.from(select.options).filter(function (one) { return !one.selected; });
      order.replaceChildren();
      chosen.forEach(function (option, place) {
        var item = element("li");
        item.append(
          element("span", option.text),
          button("↑", "Earlier: " + option.text, function () {
            move(option, true, chosen[Math.max(place - 1, 0)]);
          }),
          button("↓", "Later: " + option.text, function () {
            move(option, true, (chosen[place + 1] || option).nextSibling);
          }),
          button("×", "Remove: " + option.text, function () { move(option, false, null); })
        );
        order.append(item);
      });
      adder.replaceChildren(element("option", rest.length ? "Add…" : "Nothing to add"));
      rest.forEach(function (option) {
        adder.append(element("option", option.text, {"value": option.value}));
      });
      adder.disabled = !rest.length;
    }

    adder.addEventListener("change", function () {
      var rest = Array.from(select.options).filter(function (one) { return !one.selected; });
      var option = rest[adder.selectedIndex - 1];
      if (option) {
        move(option, true, rest[0]);
      }
    });
    show();
  }

  /* There is always an empty row at the end. */
  function makeEdges(box) {
    box.addEventListener("change", function () {
      var rows = box.querySelectorAll(".portchain-edge");
      var last = rows[rows.length - 1];
      var used = Array.from(last.querySelectorAll("select")).some(function (one) {
        return one.value;
      });
      if (used) {
        var copy = last.cloneNode(true);
        copy.querySelectorAll("select").forEach(function (one) {
          one.value = "";
          one.removeAttribute("id");
        });
        box.append(copy);
      }
    });
  }

  function prepare(root) {
    root.querySelectorAll("select.portchain-ordered").forEach(makeOrdered);
    root.querySelectorAll(".portchain-edges").forEach(makeEdges);
  }

  /* Replaces the picture if it has changed; a link that has the focus keeps it. */
  function draw(box, html) {
    if (box.dataset.shown === html) {
      return;
    }
    var focused = box.contains(document.activeElement) && document.activeElement.getAttribute("href");
    var left = box.querySelector(".portchain-svg");
    left = left ? left.scrollLeft : 0;
    box.innerHTML = html;
    box.dataset.shown = html;
    box.querySelector(".portchain-svg").scrollLeft = left;
    if (focused) {
      box.querySelectorAll("a").forEach(function (link) {
        if (link.getAttribute("href") === focused) {
          link.focus();
        }
      });
    }
  }

  function complain(box, text) {
    var note = box.querySelector(".portchain-note") || element("p", "", {
      "class": "portchain-note alert alert-warning", "role": "status"
    });
    note.textContent = text;
    box.prepend(note);
    box.classList.add("portchain-stale");
    delete box.dataset.shown;
  }

  function watch(box) {
    function ask() {
      if (document.hidden) {
        return again();
      }
      return fetch(box.dataset.url, {
        credentials: "same-origin",
        headers: {"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}
      }).then(function (answer) {
        if (answer.status === 401 || answer.redirected) {
          throw new Error("You are logged out: load the page again.");
        }
        return answer.json();
      }).then(function (answer) {
        if (answer.error) {
          throw new Error(answer.error);
        }
        box.classList.remove("portchain-stale");
        draw(box, answer.html);
      }).catch(function (error) {
        complain(box, "The picture is out of date. " + error.message);
      }).then(again);
    }

    function again() {
      window.setTimeout(ask, SECONDS * 1000);
    }

    ask();
  }

  document.addEventListener("DOMContentLoaded", function () {
    prepare(document);
    horizon.modals.addModalInitFunction(function (modal) {
      // jQuery wraps it, or not, depending on who calls.
      prepare(modal.querySelectorAll ? modal : modal[0]);
    });
    document.querySelectorAll("#portchain-picture").forEach(watch);
  });
})();
