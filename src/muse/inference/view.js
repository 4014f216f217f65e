'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const media = document.getElementById('media'); // null without one
  const chart = document.getElementById('chart');
  const values = [...document.querySelectorAll('#legend output')];
  const clock = document.getElementById('clock');
  const [left, right, top, bottom] = [44, 24, 8, 24]; // margins in pixels
  const last = data.times.length - 1;
  let now = 0; // seconds
  let cursor = null;

  const end = () => {
    const length = media && Number.isFinite(media.duration) ? media.duration : 0;
    return Math.max(length, data.times[last] + data.step);
  };

  function element(name, attributes, parent, text) {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function time(seconds) {
    const whole = Math.floor(seconds + 1e-6);
    const pad = (number) => String(number).padStart(2, '0');
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
  }

  function ticks(low, high, count) { // round numbers from low to high
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
      found.push(k * step);
    }
    return found;
  }

  function range() {
    const all = data.curves.flatMap((curve) => curve.values);
    let [low, high] = all.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [0, 0]);
    const room = Math.max(0.05 * (high - low), 0.01);
    return [low - room, high + room];
  }
  const [low, high] = range();

  function draw() {
    const width = Math.max(chart.clientWidth, left + right + 40);
    const height = chart.clientHeight;
    const x = (seconds) => left + (seconds / end()) * (width - left - right);
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    chart.replaceChildren();
    const svg = element('svg', { viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' }, chart);
    const steps = ticks(low, high, 5);
    const digits = Math.max(1, Math.ceil(-Math.log10(steps[1] - steps[0] || 1) - 1e-9));
    for (const value of steps) {
      element('line', { class: 'grid', x1: left, x2: width - right, y1: y(value), y2: y(value) }, svg);
      const label = { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' };
      element('text', label, svg, value.toFixed(digits));
    }
    const spans = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const most = Math.max(1, Math.floor((width - left - right) / 70));
    const span = spans.find((size) => end() / size <= most) || 86400;
    for (let at = 0; at <= end(); at += span) {
      element('text', { x: x(at), y: height - 6, 'text-anchor': 'middle' }, svg, time(at));
    }
    data.curves.forEach((curve, k) => {
      const points = curve.values.map((value, i) => {
        const middle = data.times[i] + data.step / 2;
        return `${x(middle).toFixed(1)},${y(value).toFixed(1)}`;
      });
      if (points.length === 1) points.push(`${x(end())},${points[0].split(',')[1]}`);
      element('polyline', { class: `curve k${k % 6}`, points: points.join(' ') }, svg);
    });
    cursor = element('line', { id: 'cursor', y1: top, y2: height - bottom }, svg);
    update();
  }

  function update() {
    const width = Math.max(chart.clientWidth, left + right + 40);
    const at = left + (Math.min(now, end()) / end()) * (width - left - right);
    cursor.setAttribute('x1', at.toFixed(1));
    cursor.setAttribute('x2', at.toFixed(1));
    let [first, behind] = [0, last + 1]; // the frame that `now` is in
    while (behind - first > 1) {
      const middle = (first + behind) >> 1;
      if (data.times[middle] <= now + 1e-6) first = middle; else behind = middle;
    }
    const shown = data.curves.map((curve) => curve.values[first].toFixed(2));
    values.forEach((output, k) => { output.textContent = shown[k]; });
    clock.textContent = `${time(now)} of ${time(end())}`;
    chart.setAttribute('aria-valuemax', end().toFixed(1));
    chart.setAttribute('aria-valuenow', now.toFixed(1));
    const said = data.curves.map((curve, k) => `${curve.name} ${shown[k]}`).join(', ');
    chart.setAttribute('aria-valuetext', `${time(now)}, ${said}`);
  }

  function seek(seconds) {
    now = Math.min(Math.max(seconds, 0), end());
    if (media && media.readyState > 0) media.currentTime = now;
    update();
  }

  function seekTo(event) {
    const box = chart.getBoundingClientRect();
    seek(((event.clientX - box.left - left) / (box.width - left - right)) * end());
  }

  chart.addEventListener('pointerdown', (event) => {
    seekTo(event);
    if (event.pointerType === 'mouse') chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener('pointermove', (event) => {
    if (event.buttons === 1 && chart.hasPointerCapture(event.pointerId)) seekTo(event);
  });
  chart.addEventListener('keydown', (event) => {
    const far = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: now - far * data.step, ArrowDown: now - far * data.step,
      ArrowRight: now + far * data.step, ArrowUp: now + far * data.step,
      PageDown: now - 10 * data.step, PageUp: now + 10 * data.step, Home: 0, End: end(),
    };
    if (event.key in moves) seek(moves[event.key]);
    else if (event.key === ' ' && media) media[media.paused ? 'play' : 'pause']();
    else return;
    event.preventDefault();
  });

  function follow() { // the cursor moves with every picture of the screen while it plays
    now = media.currentTime;
    update();
    if (!media.paused && !media.ended) requestAnimationFrame(follow);
  }
  if (media) {
    const unplayable = () => { document.getElementById('unplayable').hidden = false; };
    if (media.error) unplayable();
    media.addEventListener('error', unplayable);
    media.addEventListener('play', follow);
    for (const name of ['seeking', 'seeked', 'timeupdate', 'pause']) {
      media.addEventListener(name, () => { if (media.paused) follow(); });
    }
    media.addEventListener('loadedmetadata', () => {
      if (now) media.currentTime = now; // chosen before
      draw();
    });
  }
  new ResizeObserver(draw).observe(chart);
  draw();
})();
