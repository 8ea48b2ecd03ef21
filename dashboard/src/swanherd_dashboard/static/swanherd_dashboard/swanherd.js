/* Keeps the panel's pages true: one request for each page and interval, none while it is hidden. */
(function () {
  'use strict';

  /* Horizon 27 doesn't tell a screen reader the page's language. */
  var html = document.documentElement;
  const language = document.currentScript && document.currentScript.dataset.shLanguage;
  if (!html.lang && language) { html.lang = language; }

  var TEXTS = ['status', 'reason', 'in', 'out'];

  function part(root, name) { return root.querySelector('[data-sh="' + name + '"]'); }

  function put(element, text) {
    if (element && element.textContent !== text) { element.textContent = text; }
  }

  function show(root, told) {
    TEXTS.forEach(function (name) { put(part(root, name), told[name]); });
    if (root.classList.contains('sh-line')) {
      root.setAttribute('class', 'sh-line sh-' + told.tone);
      put(root.querySelector('title'), told.name + ': ' + told.status + ' ' + told.reason);
    }
    var badge = part(root, 'badge');
    if (badge) { badge.className = 'sh-badge sh-' + told.tone; }
    var since = part(root, 'since');
    if (since && since.getAttribute('datetime') !== told.since) {
      since.setAttribute('datetime', told.since);
      since.textContent = '';
    }
    localTimes(root);
  }

  /* Times come as UTC; people read their own. */
  function localTimes(root) {
    root.querySelectorAll('time[datetime]').forEach(function (element) {
      var at = new Date(element.getAttribute('datetime'));
      if (!isNaN(at)) { put(element, at.toLocaleString(document.documentElement.lang || undefined)); }
    });
  }

  function poll(root, url, apply) {
    var every = 1000 * Number(root.dataset.shEvery), timer = null, asking = false;
    function later() {
      clearTimeout(timer);
      timer = document.hidden ? null : setTimeout(ask, every);
    }
    function stale(is) { var note = part(root, 'stale'); if (note) { note.hidden = !is; } }
    function ask() {
      if (document.hidden || asking) { return; }
      asking = true;
      fetch(url, { headers: { 'X-Requested-With': 'XMLHttpRequest' }, credentials: 'same-origin' })
        .then(function (answer) {
          if (answer.status === 401 || answer.status === 403) { window.location.reload(); return null; }
          if (answer.status === 404) { root.classList.add('sh-gone'); return null; }
          if (!answer.ok) { throw new Error(answer.status); }
          return answer.json();
        })
        .then(function (told) { stale(false); if (told) { apply(told); } })
        .catch(function () { stale(true); })
        .then(function () { asking = false; if (!root.classList.contains('sh-gone')) { later(); } });
    }
    document.addEventListener('visibilitychange', function () {
      if (document.hidden) { later(); } else { ask(); }
    });
    ask();
  }

  function list(root) {
    var rows = {};
    root.querySelectorAll('[data-sh-id]').forEach(function (row) { rows[row.dataset.shId] = row; });
    var ids = Object.keys(rows);
    if (!ids.length) { return; }
    poll(root, root.dataset.shLiveList + '?' + ids.map(function (id) { return 'id=' + id; }).join('&'), function (told) {
      var there = {};
      told.connections.forEach(function (each) { there[each.id] = true; if (rows[each.id]) { show(rows[each.id], each); } });
      ids.forEach(function (id) { rows[id].classList.toggle('sh-gone', !there[id]); });
    });
  }

  /* The chart's past, kept for as long as the tab lives. */
  function chart(root) {
    var figure = part(root, 'chart'), name = 'swanherd-chart:' + root.dataset.shId;
    var kept = { last: null, points: [] };
    try { kept = JSON.parse(sessionStorage.getItem(name)) || kept; } catch (ignored) { sessionStorage.removeItem(name); }
    var width = figure.clientWidth;
    function draw() { window.swanherdChart.draw(figure, kept.points); }
    new ResizeObserver(function () {
      if (figure.clientWidth !== width) { width = figure.clientWidth; requestAnimationFrame(draw); }
    }).observe(figure);
    draw();
    return function (told) {
      var now = window.swanherdChart.remember(kept, told);
      if (now === kept) { return; }
      kept = now;
      sessionStorage.setItem(name, JSON.stringify(kept));
      draw();
    };
  }

  function one(root) {
    var tunnel = part(root, 'tunnel'), shown = '', look = chart(root);
    look(JSON.parse(document.getElementById('sh-traffic').textContent));
    poll(root, root.dataset.shLiveOne, function (told) {
      show(root, told);
      if (shown !== told.html) {
        shown = told.html;
        tunnel.innerHTML = told.html; /* made and escaped by the server's template */
        localTimes(tunnel);
      }
      look(told.traffic);
    });
  }

  /* 256 bits from the browser's own generator, as letters and digits. */
  function generate() {
    var signs = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789', key = '';
    while (key.length < 45) {
      Array.from(crypto.getRandomValues(new Uint8Array(64))).forEach(function (byte) {
        /* 4 * 56: what is above would make some signs likelier. */
        if (byte < 224 && key.length < 45) { key += signs[byte % 56]; }
      });
    }
    return key;
  }

  var ENDED = new Error('the session has ended');

  function inBackground(address, options) {
    options.headers = { 'X-Requested-With': 'XMLHttpRequest' };
    options.credentials = 'same-origin';
    return fetch(address, options).then(function (answer) {
      if (answer.status === 401 || answer.status === 403) { throw ENDED; }
      return answer;
    });
  }

  /* A login, in another tab too, makes a new token against forgery. */
  function renew(root) {
    return inBackground(window.location.href, {}).then(function (answer) {
      if (!answer.ok || answer.headers.has('X-Horizon-Location')) { throw new Error('no form'); }
      return answer.text();
    }).then(function (text) {
      var token = new DOMParser().parseFromString(text, 'text/html').querySelector('.sh-form [name="csrfmiddlewaretoken"]');
      root.elements.csrfmiddlewaretoken.value = token.value;
    });
  }

  function post(root, data, again) {
    return inBackground(window.location.href, { method: 'POST', body: data }).then(function (answer) {
      if (answer.headers.has('X-Horizon-Location')) { return { location: answer.headers.get('X-Horizon-Location') }; }
      if (!answer.ok) { throw new Error(answer.status); }
      return answer.json();
    }, function (error) {
      if (error !== ENDED || !again) { throw error; }
      return renew(root).then(function () {
        data.set('csrfmiddlewaretoken', root.elements.csrfmiddlewaretoken.value);
        return post(root, data, false);
      });
    });
  }

  /* Sends a form once at a time, and never again by itself: nobody knows then whether it was done. */
  function carefully(root, send) {
    var busy = false;
    function be(is) { busy = is; root.setAttribute('aria-busy', String(is)); }
    function say(what) {
      ['ended', 'unanswered'].forEach(function (name) { part(root, name).hidden = name !== what; });
      if (what) { part(root, what).focus(); }
    }
    root.addEventListener('submit', function (event) {
      event.preventDefault();
      if (busy) { return; }
      be(true);
      send(event.submitter)
        .then(function (leaves) { say(''); be(leaves); })
        .catch(function (error) { say(error === ENDED ? 'ended' : 'unanswered'); be(false); });
    });
    window.addEventListener('pageshow', function (event) { if (event.persisted) { be(false); } });
  }

  /* A form that the server shows again is sent as ever, once it is certain that it will be taken. */
  function plain(root) {
    carefully(root, function (by) {
      return renew(root).then(function () {
        if (by && by.name) {
          var said = document.createElement('input');
          said.type = 'hidden';
          said.name = by.name;
          said.value = by.value;
          root.appendChild(said);
        }
        HTMLFormElement.prototype.submit.call(root);
        return true;
      });
    });
  }

  function form(root) {
    var key = root.elements.psk, router = root.elements.router;
    var homes = JSON.parse(document.getElementById('sh-routers').textContent);
    var notes = JSON.parse(document.getElementById('sh-notes').textContent);
    var reveal = root.querySelector('[data-sh-reveal]'), outlook = part(root, 'outlook');

    /* Browsers keep the text of fields for the way back, but no passwords. */
    function uncover(is) {
      key.type = is ? 'text' : 'password';
      key.autocomplete = is ? 'off' : 'new-password';
      reveal.setAttribute('aria-pressed', String(is));
    }
    function subnets() {
      if (!router) { return; }
      root.querySelectorAll('[data-sh-field="subnets"] [data-sh-choice]').forEach(function (choice) {
        var here = homes[choice.dataset.shChoice].indexOf(router.value) >= 0, box = choice.querySelector('input');
        choice.hidden = !here;
        if (!here) { box.checked = false; }
      });
    }
    function profile() {
      var chosen = root.querySelector('input[name="profile"]:checked');
      put(part(root, 'note'), chosen && notes[chosen.value] || '');
      part(root, 'own').hidden = !chosen || chosen.value !== 'own';
    }
    function tell(errors) {
      var first = null;
      root.querySelectorAll('[data-sh-field]').forEach(function (field) {
        var said = errors[field.dataset.shField] || [];
        put(field.querySelector('.sh-error-text'), said.join(' '));
        field.classList.toggle('has-error', said.length > 0);
        if (field.dataset.shField === '__all__') { field.hidden = !said.length; }
        var inputs = field.querySelectorAll('input, select, textarea');
        inputs.forEach(function (input) { input.setAttribute('aria-invalid', String(said.length > 0)); });
        if (said.length) {
          var folded = field.closest('details');
          if (folded) { folded.open = true; }
          var seen = Array.from(inputs).find(function (input) { return !input.closest('[hidden]'); });
          first = first || (inputs.length ? seen : field);
        }
      });
      if (first) { first.focus(); }
    }
    function foresee(sentences) {
      var list = outlook.querySelector('ul');
      list.replaceChildren.apply(list, sentences.map(function (sentence) {
        var item = document.createElement('li');
        item.textContent = sentence;
        return item;
      }));
      outlook.hidden = false;
      part(root, 'submit').hidden = true;
      outlook.focus();
    }
    function rethink() {
      if (!outlook.hidden) { outlook.hidden = true; part(root, 'submit').hidden = false; }
    }

    root.querySelector('[data-sh-generate]').addEventListener('click', function () { key.value = generate(); uncover(true); rethink(); });
    reveal.addEventListener('click', function () { uncover(key.type === 'password'); });
    root.addEventListener('input', rethink);
    root.addEventListener('change', function () { subnets(); profile(); });
    carefully(root, function (by) {
      var data = new FormData(root);
      if (by && by.name) { data.append(by.name, by.value); }
      return post(root, data, true).then(function (told) {
        tell(told.errors || {});
        if (told.outlook) { foresee(told.outlook); } else { rethink(); }
        if (told.location) { window.location.assign(told.location); }
        return Boolean(told.location);
      });
    });
    uncover(false);
    subnets();
    profile();
  }

  /* The page has asked already; Horizon's script would ask for each red button again. */
  function sure(button) { button.addEventListener('click', function (event) { event.stopPropagation(); }); }

  document.querySelectorAll('.sh-panel').forEach(function (root) {
    localTimes(root);
    root.querySelectorAll('[data-sh-sure]').forEach(sure);
    if (root.dataset.shLiveList) { list(root); }
    if (root.dataset.shLiveOne) { one(root); }
    if ('shForm' in root.dataset) { form(root); }
    if ('shPlain' in root.dataset) { plain(root); }
  });
}());
