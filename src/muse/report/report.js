'use strict';
(() => {
  let data = JSON.parse(document.getElementById('data').textContent);
  const main = document.getElementById('report');
  // what is looked at: filters, order, a run by its folder, a target, a recording
  const state = { task: '', target: '', features: '', text: '', sort: 'devel', down: true,
    run: null, of: null, recording: null };
  const charts = []; // {host, draw, plot} of the run that is shown
  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4], [4, 4]];

  // ---------------------------------------------------------------- elements, numbers

  function el(tag, attributes = {}, ...children) { // texts become text, never HTML
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === 'on') for (const [type, call] of Object.entries(value)) made.addEventListener(type, call);
      else if (value === true) made.setAttribute(key, '');
      else if (value !== false && value != null) made.setAttribute(key, value);
    }
    made.append(...children.flat(Infinity).filter((child) => child != null && child !== ''));
    return made;
  }
  const isNumber = (value) => typeof value === 'number';
  const number = (value, digits = 4) => (isNumber(value) && !Number.isInteger(value) ? value.toFixed(digits) : String(value ?? ''));
  const range = (limits) => (Array.isArray(limits) ? limits.map((v) => number(v, 3)).join(' to ') : '');
  const spread = (part) => number(part.mean) + (isNumber(part.deviation) ? ` ± ${number(part.deviation)}` : '');
  const button = (text, click, more = {}) => el('button', { type: 'button', on: { click }, ...more }, text);
  const mark = (synthetic) => (synthetic ? ', SYNTHETIC data' : '');

  // Rows of texts, numbers or elements. The first cell of a row is its name.
  function table(caption, head, rows, more = {}) {
    const cells = (row) => row.map((cell, k) => (cell instanceof HTMLTableCellElement ? cell
      : el(k ? 'td' : 'th', k ? { class: isNumber(cell) ? 'number' : null } : { scope: 'row' },
        cell instanceof Node ? cell : number(cell))));
    return scrolling(caption, el('table', more, el('caption', {}, el('span', {}, caption)),
      el('thead', {}, el('tr', {}, head.map((name) => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, rows.map((row) => el('tr', {}, cells(row))))));
  }
  const scrolling = (name, inner) => el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': name }, inner);
  function bar(value, high) { // a number with a bar behind it
    const cell = el('td', { class: 'number bar' }, number(value));
    cell.style.setProperty('--share', `${100 * Math.max(0, Math.min(1, (value || 0) / (high || 1)))}%`);
    return cell;
  }
  function shaded(value, high, text) { // a number in a colour as strong as it is far from 0
    const cell = el('td', { class: 'number' }, text ?? number(value, 2));
    const share = Math.round(55 * Math.min(1, Math.abs(value || 0) / high));
    cell.style.background = `color-mix(in srgb, var(${value < 0 ? '--c0' : '--c1'}) ${share}%, transparent)`;
    return cell;
  }
  const folded = (title, ...inner) => el('details', {}, el('summary', {}, title), inner);

  // Replace a section; the element that had the focus gets it again.
  function fill(id, ...children) {
    const key = document.activeElement?.dataset?.key;
    const open = [...document.querySelectorAll(`#${id} details[open] > summary`)].map((s) => s.textContent);
    document.getElementById(id).replaceChildren(...children.flat(Infinity).filter((child) => child != null));
    for (const summary of document.querySelectorAll(`#${id} summary`)) {
      if (open.includes(summary.textContent)) summary.parentNode.open = true;
    }
    if (key && !document.activeElement?.dataset?.key) {
      document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
    }
  }

  // ---------------------------------------------------------------- leaderboards

  const nameOf = (run) => `${run.fusion ? 'fusion of ' : ''}${run.features.join(' + ') || run.folder}`;
  const COLUMNS = [ // key, title, what is sorted by
    ['features', 'features', (row) => nameOf(row.run)],
    ['model', 'model', (row) => row.run.model],
    ['devel', 'devel', (row) => row.part.devel],
    [null, '95 % interval'],
    ['mean', 'mean of seeds', (row) => row.part.mean],
    ['test', 'test', (row) => row.part.test],
    ['seed', 'seed', (row) => row.part.seed],
    ['epoch', 'epoch', (row) => row.part.epoch],
    ['settings', 'settings that differ', (row) => row.settings],
    ['folder', 'run', (row) => row.run.folder],
  ];

  function rowsOf(board) {
    const value = COLUMNS.find(([key]) => key === state.sort)[2];
    const text = state.text.toLowerCase();
    const rows = board.rows.map((row) => {
      const run = data.runs[row.run];
      return { run, part: run.targets[board.target], settings: row.settings, first: row.run === board.best };
    }).filter(({ run, settings }) => (!state.features || run.features.includes(state.features))
      && `${settings} ${run.folder} ${run.model} ${nameOf(run)}`.toLowerCase().includes(text));
    const order = (a, b) => {
      const [one, two] = [value(a), value(b)];
      if (one == null || two == null) return (one == null) - (two == null); // none comes last
      const less = isNumber(one) && isNumber(two) ? one - two : String(one).localeCompare(String(two), 'en', { numeric: true });
      return state.down ? -less : less;
    };
    return rows.sort(order);
  }

  function boardRow(board, row) {
    const { run, part } = row;
    const chosen = run.folder === state.run && board.target === state.of;
    const open = button(nameOf(run), () => choose(run.folder, board.target, true),
      { 'aria-pressed': String(chosen), 'data-key': `${board.target} ${run.folder}` });
    const marks = run.marks.map((text) => `, ${text}`); // of synthetic data the whole leaderboard says so
    const cells = [part.devel ?? 'none', range(part.interval), spread(part), part.test, part.seed, part.epoch];
    return el('tr', { class: chosen ? 'chosen' : null }, el('th', { scope: 'row' }, open, run.synthetic ? marks.slice(1) : marks),
      el('td', {}, run.model), cells.map((cell) => el('td', { class: 'number' }, number(cell))),
      el('td', { class: 'long' }, row.settings), el('td', { class: 'long' }, run.folder));
  }

  function boardsTable() {
    const head = COLUMNS.map(([key, title]) => {
      if (!key) return el('th', { scope: 'col' }, title);
      const active = state.sort === key;
      const click = () => {
        state.down = active ? !state.down : ['devel', 'mean', 'test'].includes(key);
        state.sort = key;
        showBoards();
      };
      return el('th', { scope: 'col', 'aria-sort': active ? (state.down ? 'descending' : 'ascending') : 'none' },
        button([title, active ? el('span', { 'aria-hidden': 'true' }, state.down ? ' ▼' : ' ▲') : ''], click, { 'data-key': `sort ${key}` }));
    });
    let [shown, all] = [0, 0];
    const bodies = data.boards.map((board) => {
      all += board.rows.length;
      if ((state.task && board.task !== state.task) || (state.target && board.target !== state.target)) return null;
      const rows = rowsOf(board);
      shown += rows.length;
      const title = `${board.title}, ${board.target}: ${board.metric}${mark(board.synthetic)}`;
      return rows.length ? el('tbody', {}, el('tr', { class: 'board' },
        el('th', { scope: 'rowgroup', colspan: COLUMNS.length }, el('span', {}, title, el('span', { class: 'faint' }, ` ${board.package}`)))),
        rows.map((row) => boardRow(board, row))) : null;
    });
    const caption = 'Runs by task and target; test only of the best on devel, unless show_test=true was given';
    return [el('p', { role: 'status' }, `${shown} of ${all} rows`),
      scrolling('Leaderboard', el('table', { id: 'leaderboard' }, el('caption', {}, el('span', {}, caption)), el('thead', {}, el('tr', {}, head)), bodies))];
  }

  function showBoards() {
    const pick = (key, label, names) => el('label', {}, label,
      el('select', { 'data-key': `filter ${key}`, on: { change: (event) => { state[key] = event.target.value; showBoards(); } } },
        el('option', { value: '' }, 'all'),
        [...new Set(names)].sort().map((name) => el('option', { value: name, selected: state[key] === name }, name))));
    const search = el('input', { type: 'search', value: state.text, 'data-key': 'filter text' });
    search.addEventListener('input', () => { state.text = search.value; fill('rows', boardsTable()); });
    fill('boards', el('h2', {}, 'Leaderboard'), el('div', { class: 'controls' },
      pick('task', 'Task', data.boards.map((board) => board.task)),
      pick('target', 'Target', data.boards.map((board) => board.target)),
      pick('features', 'Feature set', data.runs.flatMap((run) => run.features)),
      el('label', {}, 'Text', search)), el('div', { id: 'rows' }, boardsTable()));
  }

  function showOthers() {
    const others = data.runs.filter((run) => run.state !== 'finished');
    const last = (run) => Object.entries(run.curves).flatMap(([target, own]) => Object.entries(own).map(([name, curve]) => {
      const best = Math.max(...(curve.devel || []).filter(isNumber));
      return `${target}, ${name}: epoch ${(curve.epoch || []).at(-1) ?? ''}${Number.isFinite(best) ? `, best devel ${number(best)}` : ''}`;
    })).at(-1) ?? '';
    fill('others', others.length ? [el('h2', {}, 'Not finished'),
      table('Runs that are under way, were stopped or have failed', ['run', 'state', 'last epoch', 'reason', 'command'],
        others.map((run) => [button(nameOf(run), () => choose(run.folder, null, true), { 'data-key': `other ${run.folder}` }),
          run.state, last(run), el('span', { class: 'long' }, run.reason), el('code', {}, run.command)]))] : null);
  }

  // ---------------------------------------------------------------- charts

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A figure with a chart of lines; `lines` are {label, x, y, color, dash, width}.
  function figure(title, summary, lines, options = {}, ...below) {
    const host = el('div', { class: 'chart' });
    const chart = { host, draw: () => plotted(host, title, summary, lines, options) };
    charts.push(chart);
    const move = (shift, zoom) => () => {
      const { plot } = chart;
      const [low, high] = [plot.data[0][0], plot.data[0].at(-1)];
      const { min, max } = plot.scales.x;
      const width = Math.min(high - low, (max - min) * zoom);
      const from = Math.max(low, Math.min(high - width, (min + max) / 2 + shift * (max - min) - width / 2));
      plot.setScale('x', { min: from, max: from + width });
    };
    const tools = [['Zoom in', 0, 0.5], ['Zoom out', 0, 2], ['Left', -0.5, 1], ['Right', 0.5, 1], ['Whole', 0, 1e9]];
    return el('figure', {}, el('figcaption', {}, el('strong', {}, title), el('br'), summary), host,
      el('div', { class: 'controls' }, tools.map(([text, shift, zoom]) => button(text, move(shift, zoom), { 'data-key': `${options.key} ${text}` }))), below);
  }

  function plotted(host, title, summary, lines, options) {
    const x = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const place = new Map(x.map((value, k) => [value, k]));
    const columns = lines.map((line) => {
      const column = new Array(x.length).fill(null);
      line.x.forEach((value, k) => { column[place.get(value)] = line.y[k]; });
      return column;
    });
    const axis = { stroke: color('--faint'), font: '12px system-ui, sans-serif', labelFont: '12px system-ui, sans-serif',
      grid: { stroke: color('--line'), width: 1 }, ticks: { stroke: color('--line'), width: 1 } };
    const plot = new uPlot({
      width: Math.max(host.clientWidth, 200), height: 280,
      scales: { x: { time: false, distr: options.log ? 3 : 1 } },
      axes: [{ ...axis, label: options.x, ...(options.whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] } : {}) },
        { ...axis, label: options.y, size: 60 }],
      series: [{ label: options.x }, ...lines.map((line) => ({
        label: line.label, stroke: color(line.color), dash: line.dash, width: line.width ?? 1.5, spanGaps: true,
        points: { show: x.length === 1 || Boolean(line.points) },
        paths: options.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: (_, value) => number(value, 3) }))],
      legend: { show: lines.length <= 12 }, cursor: { drag: { x: true, y: false } },
    }, [x, ...columns], host);
    const drawn = host.querySelector('.u-wrap');
    drawn.setAttribute('role', 'img');
    drawn.setAttribute('aria-label', `${title}. ${summary}`);
    host.querySelector('.u-legend')?.setAttribute('aria-hidden', 'true'); // for the pointer; the caption says it
    return plot;
  }

  function drawCharts() {
    for (const chart of charts) {
      chart.plot?.destroy();
      chart.plot = chart.draw();
    }
  }
  new ResizeObserver(() => charts.forEach(({ host, plot }) => {
    if (plot && Math.abs(plot.width - host.clientWidth) > 2 && host.clientWidth) plot.setSize({ width: host.clientWidth, height: 280 });
  })).observe(main);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawCharts);

  // ---------------------------------------------------------------- a run

  function curves(run, target, synthetic) {
    const joint = Object.keys(run.curves).find((name) => name.split('+').includes(target));
    const own = Object.entries(run.curves[joint] ?? {});
    if (!own.length) return null;
    const place = 'C' in own[0][1] ? 'C' : 'epoch';
    const lines = own.flatMap(([label, curve], k) => ['devel', 'train'].filter((part) => curve[part]).map((part) => ({
      label: `${label}, ${part}`, x: curve[place], y: curve[part], color: `--c${k % 6}`,
      dash: part === 'train' ? [2, 3] : [], width: part === 'train' ? 1 : 2 })));
    const best = own.map(([label, curve]) => {
      const score = Math.max(...(curve.devel ?? []).filter(isNumber));
      return `${label}: ${Number.isFinite(score) ? `${number(score)} with ${place} ${curve[place][curve.devel.indexOf(score)]}` : 'none'}`;
    });
    const dotted = lines.some((line) => line.label.endsWith('train')) ? ' Dotted: mean CCC of the training windows.' : '';
    const text = `Devel ${run.metric} of ${own.length} training${own.length > 1 ? 's' : ''}, best of each: ${best.slice(0, 10).join('; ')}${best.length > 10 ? '; …' : ''}.${dotted}`;
    const rows = own.map(([label, curve]) => [label, curve[place].length, number((curve.devel ?? []).at(-1)), number((curve.lr ?? []).at(-1), 6)]);
    return figure(`Learning curves, ${target}${mark(synthetic)}`, text, lines, { x: place, y: run.metric, whole: place === 'epoch', log: place === 'C', key: 'curves' },
      folded('Learning curves as a table', table(`Trainings of ${target}${mark(synthetic)}`, ['training', `${place}s shown`, 'last devel', 'last lr'], rows)));
  }

  function unpacked(packed) {
    const bytes = Uint8Array.from(atob(packed.values), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Array.from({ length: bytes.length / 2 }, (_, k) => packed.low + (view.getUint16(2 * k, true) / 65535) * (packed.high - packed.low));
  }

  function signals(run, part, target, synthetic) {
    const rows = part.recordings;
    const at = Math.max(0, rows.findIndex((row) => row.id === state.recording));
    const row = rows[at];
    const packed = data.signals[row.gold];
    const [gold, predicted] = [unpacked(packed), unpacked(row)];
    const x = Array.isArray(packed.times) ? packed.times : gold.map((_, k) => packed.times.first + k * packed.times.step);
    for (const values of x.length > gold.length ? [gold, predicted] : []) values.push(values.at(-1)); // the last segment's end
    const lines = [{ label: 'gold standard', x, y: gold, color: '--ink', points: part.steps },
      { label: 'prediction', x, y: predicted, color: '--c0', dash: part.steps ? [4, 4] : [], points: part.steps }];
    const go = (k) => { state.recording = rows[k].id; showRun(); };
    const extent = (values) => `${number(values.reduce((a, b) => Math.min(a, b)), 3)} to ${number(values.reduce((a, b) => Math.max(a, b)), 3)}`;
    const title = `Recording ${row.id}, ${target}: ${run.metric} ${number(row.score, 3)}${mark(synthetic)}`;
    const text = `${part.steps ? `${x.length - 1} segments` : `${x.length} frames`}, ${number(x[0], 1)} to ${number(x.at(-1), 1)} s; gold standard ${extent(gold)}, prediction ${extent(predicted)}.`;
    const select = el('select', { 'data-key': 'recording', on: { change: (event) => go(Number(event.target.value)) } },
      rows.map((one, k) => el('option', { value: k, selected: k === at }, `${one.id} (${number(one.score, 3)})`)));
    const high = Math.max(...rows.map((one) => one.score));
    const list = rows.map((one, k) => [button(one.id, () => go(k), { 'aria-pressed': String(k === at), 'data-key': `recording ${one.id}` }), bar(one.score, high)]);
    return [el('h3', {}, 'Gold standard and prediction'), el('div', { class: 'controls' },
      el('label', {}, 'Recording', select),
      button('Better', () => go(at - 1), { disabled: at === 0, 'data-key': 'better' }),
      button('Worse', () => go(at + 1), { disabled: at === rows.length - 1, 'data-key': 'worse' })),
    figure(title, text, lines, { x: 'time (s)', y: target, steps: part.steps, key: 'signals' }),
    el('h3', {}, `${run.metric} of each recording`),
    el('div', { class: 'short' }, table(`${run.metric} of each devel recording alone, the best first${mark(synthetic)}`, ['recording', run.metric], list))];
  }

  function distribution(part, target, synthetic) {
    const { edges, shares, moments, classes } = part.distribution;
    const names = Object.keys(shares);
    const title = `Distribution of labels and predictions, ${target}${mark(synthetic)}`;
    if (classes) {
      return table(`${title}: share of the segments`, ['class', ...names], edges.slice(1).map((_, k) => [String(k), ...names.map((name) => bar(shares[name][k], 1))]));
    }
    const looks = { 'labels, train': '--c1', 'labels, devel': '--ink', 'labels, test': '--c2', 'prediction, devel': '--c0' };
    const lines = names.map((label, k) => ({ label, x: edges, y: [...shares[label], shares[label].at(-1)], color: looks[label], dash: DASHES[k] }));
    const text = names.map((name) => `${name}: ${moments[name][0]} frames, mean ${number(moments[name][1], 3)}, deviation ${number(moments[name][2], 3)}`).join('; ');
    return figure(title, `Share of the frames in ${edges.length - 1} bins. ${text}.`, lines, { x: target, y: 'share', steps: true, key: 'distribution' },
      folded('Distribution as a table', table(title, ['from', ...names], edges.slice(0, -1).map((edge, k) => [number(edge, 3), ...names.map((name) => shares[name][k])]))));
  }

  function confusion(part, target, synthetic) {
    if (!Array.isArray(part.confusion)) return null;
    const rows = part.confusion.map((row, k) => {
      const sum = row.reduce((a, b) => a + b, 0) || 1;
      return [`gold ${k}`, ...row.map((count) => shaded(count / sum, 1, `${Math.round((100 * count) / sum)} % (${count})`))];
    });
    return [el('h3', {}, 'Confusion matrix'), table(`Share (number) of the segments of each gold class that is predicted as each, ${target}, devel${mark(synthetic)}`,
      ['', ...rows.map((_, k) => `predicted ${k}`)], rows)];
  }

  function members(part, run, synthetic) {
    if (!part.members) return null;
    const { fusion, rows, fault } = part.members;
    if (fault) return el('p', {}, `The members of the fusion cannot be looked at: ${fault}`);
    const high = Math.max(...rows.map((row) => row.alone ?? 0), fusion);
    const list = rows.map((row) => [row.name, row.alone == null ? '' : bar(row.alone, high), bar(row.without, high), el('td', { class: 'number' }, number(row.without - fusion))]);
    return [el('h3', {}, 'Members of the fusion'),
      table(`Devel ${run.metric} of the members; the fusion of all: ${number(fusion)}${mark(synthetic)}`, ['member', 'alone', 'fusion without it', 'change'], list),
      el('p', { class: 'faint' }, 'Without it: in every frame of devel the prediction of the member is replaced by its mean over all of them, and the saved fusion is applied. It is not trained again without the member.')];
  }

  const pairs = (caption, values) => table(caption, ['name', 'value'], Object.entries(values).map(([name, value]) => [name, el('td', { class: 'long' }, value)]));

  function showRun() {
    const run = data.runs.find((one) => one.folder === state.run);
    charts.splice(0).forEach(({ plot }) => plot?.destroy());
    if (!run) return fill('run');
    const targets = [...new Set([...Object.keys(run.targets), ...Object.keys(run.curves).flatMap((name) => name.split('+'))])];
    const target = targets.includes(state.of) ? state.of : targets[0];
    const part = run.targets[target] ?? {};
    const { synthetic } = run;
    const scores = { devel: number(part.devel), '95 % interval': range(part.interval), 'mean of seeds': spread(part),
      test: number(part.test), 'test, 95 % interval': range(part.test_interval), seed: number(part.seed), epoch: number(part.epoch), 'devel, mean over targets': number(run.combined) };
    const seeds = (part.seeds ?? []).map((row) => [`seed ${row.seed}`, number(row.devel), number(row.best_epoch), number(row.epochs)]);
    fill('run', el('h2', { tabindex: -1, id: 'run-title' }, `${nameOf(run)}, ${run.model}: ${run.title}${mark(synthetic)}`),
      el('p', {}, [run.state !== 'finished' ? `${run.state} ${run.reason}` : '', ...run.marks.slice(synthetic ? 1 : 0)].filter(Boolean).join(', ')),
      targets.length > 1 ? el('div', { class: 'controls' }, el('label', {}, 'Target', el('select', { 'data-key': 'of', on: { change: (event) => choose(run.folder, event.target.value) } },
        targets.map((name) => el('option', { value: name, selected: name === target }, name))))) : null,
      part.devel == null ? null : table(`${run.metric} of ${target}${mark(synthetic)}`, Object.keys(scores).filter((name) => scores[name]), [Object.values(scores).filter(Boolean)]),
      curves(run, target, synthetic),
      seeds.length ? table(`Seeds of ${target}${mark(synthetic)}`, ['seed', `devel ${run.metric}`, 'best epoch', 'epochs'], seeds) : null,
      part.recordings ? signals(run, part, target, synthetic) : null,
      part.distribution ? [el('h3', {}, 'Distribution'), distribution(part, target, synthetic)] : null,
      confusion(part, target, synthetic), members(part, run, synthetic),
      folded('Settings', pairs('Settings of the run', run.settings)),
      folded('Provenance', pairs('Where the numbers come from', { folder: run.folder, command: run.command, ...run.facts })));
    drawCharts();
    return null;
  }

  function choose(folder, target, jump = false) {
    if (folder !== state.run) state.recording = null;
    state.run = folder;
    state.of = target;
    showBoards();
    showRun();
    if (jump) document.getElementById('run-title').focus();
  }

  // ---------------------------------------------------------------- the page

  function showBeside() {
    const parts = data.tables.map((one) => [el('h3', {}, one.title + (one.title.includes('SYNTHETIC') ? '' : mark(one.synthetic))),
      table(one.caption, one.head, one.rows.map(([name, ...cells]) => [String(name), ...cells.map((cell) => (one.heat && isNumber(cell) ? shaded(cell, one.heat) : cell))])),
      one.notes.map((note) => el('p', { class: 'faint' }, note))]);
    fill('beside', parts.length ? [el('h2', {}, 'Comparisons, tables, classes, raters'), parts] : null);
    fill('notes', data.notes.length ? [el('h2', {}, 'Notes'), el('ul', {}, data.notes.map((note) => el('li', {}, note)))] : null);
  }

  function showHead() {
    const count = {};
    for (const run of data.runs) count[run.state] = (count[run.state] ?? 0) + 1;
    const counts = Object.entries(count).map(([name, n]) => `${n} ${name}`).join(', ');
    document.getElementById('made').textContent = `${data.roots.join(', ')}; ${data.live ? 'live, ' : ''}made ${data.made} by muse ${data.muse}`;
    const line = document.getElementById('state');
    if (line.textContent !== counts) line.textContent = counts;
  }

  function showAll() {
    showHead();
    showBoards();
    showOthers();
    showBeside();
  }

  main.append(...['boards', 'others', 'run', 'beside', 'notes'].map((id) => el('section', { id })));
  const first = data.boards[0];
  state.run = first ? data.runs[first.best].folder : data.runs[0].folder;
  state.of = first ? first.target : null;
  showAll();
  showRun();

  let tag = null;
  async function poll() {
    const made = document.getElementById('made');
    try {
      const answer = await fetch(`data.json${location.search}`, { cache: 'no-cache' });
      if (!answer.ok) throw new Error(answer.statusText);
      const before = JSON.stringify(data.runs.find((run) => run.folder === state.run));
      if (answer.headers.get('ETag') !== tag) {
        tag = answer.headers.get('ETag');
        data = await answer.json();
        showAll();
        if (JSON.stringify(data.runs.find((run) => run.folder === state.run)) !== before) showRun();
      }
    } catch {
      made.textContent = `No answer from muse report since ${data.made}; it is asked again every 5 s.`;
      tag = null;
    }
    setTimeout(poll, 5000);
  }
  if (data.live) setTimeout(poll, 5000);
})();
