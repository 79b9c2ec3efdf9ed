// Measures the page that it was appended to, and tells the page around it.
(async () => {
  for (const details of document.querySelectorAll('details')) details.open = true;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  const root = document.documentElement;
  const short = (element) => {
    const text = (element.textContent || '').trim().slice(0, 60);
    const above = element.closest('section,header,footer');
    return `${above ? above.id || above.tagName : '?'} <${element.tagName} class="${element.getAttribute('class') || ''}"> ${text}`;
  };
  const shown = (element) => element.getClientRects().length > 0;

  // Boxes that stick out of the page, other than in a box that scrolls by itself.
  const outside = [...document.body.querySelectorAll('*')].filter((element) => {
    if (!shown(element) || element.parentElement.closest('.scroll')) return false;
    const box = element.getBoundingClientRect();
    return box.left < -1 || box.right > root.clientWidth + 1;
  });

  // Text of HTML that is cut off by its own box, and text of a chart outside the chart.
  const cut = [...document.body.querySelectorAll('*')].filter((element) => {
    if (!shown(element)) return false;
    const chart = element.closest('svg');
    if (chart) {
      if (element.tagName !== 'text') return false;
      const [own, all] = [element.getBoundingClientRect(), chart.getBoundingClientRect()];
      return own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1 || own.bottom > all.bottom + 1;
    }
    const style = getComputedStyle(element);
    const hides = [style.overflowX, style.overflowY].some((value) => value === 'hidden' || value === 'clip');
    return hides && (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1);
  });

  // Lines of text that lie on one another. What is scrolled out of a box is not seen, and left out.
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.data.trim() || /^(SCRIPT|STYLE)$/.test(node.parentElement.tagName)) continue;
    const frame = node.parentElement.closest('.scroll');
    const bound = frame ? frame.getBoundingClientRect() : null;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      if (bound && (box.left < bound.left - 1 || box.right > bound.right + 1)) continue;
      lines.push({ node, box });
    }
  }
  lines.sort((a, b) => a.box.top - b.box.top);
  const overlaps = [];
  for (let i = 0; i < lines.length; i++) {
    const a = lines[i];
    // A line's box is taller than its letters.
    for (let j = i + 1; j < lines.length && lines[j].box.top < a.box.bottom - 0.3 * a.box.height; j++) {
      const b = lines[j];
      const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      if (a.node !== b.node && across > 1.5 && down > 0.35 * Math.min(a.box.height, b.box.height)) {
        overlaps.push(`${short(a.node.parentElement)} | ${short(b.node.parentElement)}`);
      }
    }
  }

  // Contrast of text with what lies below it (WCAG 2: relative luminance).
  const parse = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const below = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a.slice(0, 3)), luminance(b.slice(0, 3))].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const pale = [];
  for (const { node } of lines) {
    const element = node.parentElement;
    const style = getComputedStyle(element);
    const ratio = contrast(parse(element.closest('svg') ? style.fill : style.color), below(element));
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)}: ${short(element)}`);
  }
  // Marks of charts need less; grid lines and the broad band are background.
  for (const mark of document.querySelectorAll('svg circle, svg polygon, svg polyline[stroke-width="2"]')) {
    const style = getComputedStyle(mark);
    const colour = parse(style.fill === 'none' ? style.stroke : style.fill);
    const ratio = contrast(colour, below(mark));
    if (ratio < 3) pale.push(`${ratio.toFixed(2)}: ${mark.outerHTML.slice(0, 80)}`);
  }

  const small = [...document.querySelectorAll('svg text')].filter((text) => {
    const { a, b } = text.getScreenCTM();
    return shown(text) && parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b) < 8.5;
  });

  const found = {
    width: window.innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    scroll: [root.scrollWidth, root.clientWidth],
    images: document.images.length,
    undecoded: [...document.images].filter((image) => image.naturalWidth === 0).map(short),
    charts: document.querySelectorAll('svg.chart').length,
    texts: lines.length,
    outside: outside.map(short),
    cut: cut.map(short),
    overlaps,
    pale: [...new Set(pale)],
    small: small.map(short),
    fetched: performance.getEntriesByType('resource').map((entry) => entry.name),
    marked: document.querySelectorAll('[onclick],[onx],script:not([data-measure])').length,
  };
  parent.postMessage(found, '*');
})();
