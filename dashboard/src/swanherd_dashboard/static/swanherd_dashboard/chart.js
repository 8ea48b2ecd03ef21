/* The chart of a connection's traffic: what is drawn of the counters that arrived, and how. */
(function () {
  'use strict';

  var COUNTERS = ['bytes_in', 'bytes_out', 'packets_in', 'packets_out'];
  var MOST = 240, ROWS = 10; /* looks that are kept, rows of the table */
  var HEIGHT = 130, LEFT = 84, RIGHT = 12, TOP = 10, BOTTOM = 22;

  /* A second's mean between two looks. A pair's counters begin anew with its rekey. */
  function point(before, now) {
    var made = { from: before.at, at: now.at };
    COUNTERS.forEach(function (counter, index) {
      var grown = 0;
      Object.keys(now.pairs).forEach(function (pair) {
        var is = now.pairs[pair][index], was = (before.pairs[pair] || [])[index] || 0;
        grown += is >= was ? is - was : is;
      });
      made[counter] = grown / (now.at - before.at);
    });
    return made;
  }

  /* What is remembered after another look: `kept` itself if that says nothing new. */
  function remember(kept, told) {
    var last = kept.last;
    if (!told || (last && told.at <= last.at)) { return kept; }
    return { last: told, points: last ? kept.points.concat([point(last, told)]).slice(-MOST) : [] };
  }

  /* From 0 to at least `most` (or 1), in two to five steps of 1, 2 or 5 times a power of ten. */
  function ticks(most) {
    var top = Math.max(most, 1), least = top / 5 * (1 - 1e-9), power = Math.pow(10, Math.floor(Math.log10(least)));
    var step = power * [1, 2, 5, 10].find(function (n) { return n * power >= least; });
    return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, function (_, n) { return n * step; });
  }

  function word(value, unit) {
    var prefixes = ['', 'k', 'M', 'G', 'T'], index = 0;
    while (value >= 999.5 && index < 4) { value /= 1000; index += 1; }
    var text = String(Number(value.toFixed(value >= 9.95 ? 0 : value >= 0.95 ? 1 : 2)));
    return text + ' ' + prefixes[index] + unit;
  }

  function clock(at) { return new Date(1000 * at).toLocaleTimeString(document.documentElement.lang || undefined); }

  function svg(name, attributes, text) {
    var element = document.createElementNS('http://www.w3.org/2000/svg', name);
    Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (text) { element.textContent = text; }
    return element;
  }

  function axes(made, marks, unit, place) {
    marks.forEach(function (mark) {
      var y = place.y(mark);
      made.appendChild(svg('line', { x1: LEFT, x2: place.right, y1: y, y2: y, class: mark ? 'sh-grid' : 'sh-axis' }));
      made.appendChild(svg('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end', class: 'sh-tick' }, word(mark, unit)));
    });
    [['start', place.begin], ['end', place.end]].forEach(function (edge) {
      made.appendChild(svg('text', { x: place.x(edge[1]), y: HEIGHT - 4, 'text-anchor': edge[0], class: 'sh-time' }, clock(edge[1])));
    });
  }

  /* One drawing: `what` is bytes or packets, `words` the figure's texts. */
  function drawing(points, what, words, width) {
    var title = words[what], unit = what === 'bytes' ? 'B/s' : '/s', last = points[points.length - 1];
    var ways = [what + '_in', what + '_out'];
    var most = Math.max.apply(null, points.map(function (p) { return Math.max(p[ways[0]], p[ways[1]]); }));
    var marks = ticks(most), begin = points[0].from, top = marks[marks.length - 1];
    var place = {
      begin: begin, end: last.at, right: width - RIGHT,
      x: function (at) { return LEFT + (width - LEFT - RIGHT) * (at - begin) / (last.at - begin); },
      y: function (value) { return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top; }
    };
    var said = title + ': ' + words.in + ' ' + word(last[ways[0]], unit) + ', ' + words.out + ' ' + word(last[ways[1]], unit);
    var made = svg('svg', { viewBox: '0 0 ' + width + ' ' + HEIGHT, height: HEIGHT, role: 'img', 'aria-label': said, 'data-sh-drawn': what });
    axes(made, marks, unit, place);
    ways.forEach(function (way, index) {
      var line = points.map(function (p) {
        var y = place.y(p[way]).toFixed(1);
        return place.x(p.from).toFixed(1) + ',' + y + ' ' + place.x(p.at).toFixed(1) + ',' + y;
      }).join(' ');
      made.appendChild(svg('polyline', { points: line, class: index ? 'sh-out' : 'sh-in' }));
    });
    return made;
  }

  function html(name, text, inner) {
    var element = document.createElement(name);
    if (text) { element.textContent = text; }
    (inner || []).forEach(function (each) { element.appendChild(each); });
    return element;
  }

  /* What stands above a drawing: what it shows, and the last values by their lines. */
  function legend(last, what, words) {
    var unit = what === 'bytes' ? 'B/s' : '/s', made = html('p', '', [html('strong', words[what])]);
    ['in', 'out'].forEach(function (way) {
      var value = html('span', words[way] + ' ' + word(last[what + '_' + way], unit));
      value.className = 'sh-key sh-key-' + way;
      made.appendChild(value);
    });
    return made;
  }

  /* The last values as text, the newest first: what the drawings say to who doesn't see them. */
  function fill(table, points) {
    table.querySelector('tbody').replaceChildren.apply(table.querySelector('tbody'), points.slice(-ROWS).reverse().map(function (p) {
      var cells = COUNTERS.map(function (counter) {
        return html('td', word(p[counter], counter.indexOf('bytes') ? '/s' : 'B/s'));
      });
      var head = html('th', clock(p.at));
      head.scope = 'row';
      return html('tr', '', [head].concat(cells));
    }));
  }

  function draw(figure, points) {
    var words = { in: figure.dataset.shIn, out: figure.dataset.shOut, bytes: figure.dataset.shBytes, packets: figure.dataset.shPackets };
    var place = figure.querySelector('[data-sh="drawings"]'), values = figure.querySelector('[data-sh="values"]');
    values.hidden = !points.length;
    if (!points.length) { place.textContent = figure.dataset.shWait; return; }
    var width = Math.max(280, Math.round(place.clientWidth)), last = points[points.length - 1];
    var made = [];
    ['bytes', 'packets'].forEach(function (what) { made.push(legend(last, what, words), drawing(points, what, words, width)); });
    place.replaceChildren.apply(place, made);
    fill(values, points);
  }

  window.swanherdChart = { draw: draw, point: point, remember: remember, ticks: ticks, word: word };
}());
