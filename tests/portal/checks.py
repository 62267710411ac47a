"""What is looked at on every page, in the browser itself: each check gives a list of what is wrong."""

import base64
import os

# Colours as they are computed, and the ground that something stands on.
COLOURS = """
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const colour = text => { const parts = text.match(/[\\d.]+/g).map(Number); return {rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1}; };
  const ground = element => { for (let at = element; at; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor); if (found.alpha === 1) return found.rgb; } return [255, 255, 255]; };
  const ratio = (one, other) => { const [more, less] = [luminance(one), luminance(other)].sort((a, b) => b - a); return (more + 0.05) / (less + 0.05); };
  const shown = element => { const box = element.getBoundingClientRect();
    return element.checkVisibility({visibilityProperty: true}) && box.width >= 2 && box.right > 0; };
"""
# Text 4.5, hints and values in fields alike; the edge of a field 3 (WCAG 1.4.3, 1.4.11).
CONTRAST = "(() => {" + COLOURS + """
  const wrong = [];
  const hold = (words, one, other, least) => {
    const found = ratio(colour(one).rgb, other); if (found < least) wrong.push(`contrast of ${words.slice(0, 40)}: ${found.toFixed(2)}`); };
  for (const element of document.querySelectorAll('body *')) {
    if (!shown(element)) continue;
    const words = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.textContent.trim()).join('');
    const style = getComputedStyle(element);
    if (words) hold(words, style.color, ground(element), 4.5);
    if (element.matches('select, input:not([type=hidden], [type=radio], [type=checkbox])')) {
      hold(`what is typed into ${element.id}`, style.color, ground(element), 4.5);
      if (element.placeholder) hold(`the hint in ${element.id}`, getComputedStyle(element, '::placeholder').color, ground(element), 4.5);
      hold(`the edge of ${element.id}`, style.borderTopColor, ground(element.parentElement), 3);
    }
  }
  return wrong; })()"""
# Nothing is wider than the window, and nothing is cut off within its box.
WIDTH = """(() => { const wide = document.documentElement.scrollWidth, has = document.documentElement.clientWidth;
  const wrong = wide > has ? [`${wide} pixels wide on ${has}`] : [];
  for (const element of document.querySelectorAll('main *, header *')) {
    const box = element.getBoundingClientRect();
    if (element.closest('.hidden, .skip, svg') || box.width === 0 || box.right < 0) continue;
    if (box.right > has + 1) wrong.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)} ends at ${box.right.toFixed()} of ${has}`);
  }
  return wrong; })()"""
# What is operated is at least 24 pixels wide and high, or a link in a sentence (WCAG 2.5.8). A box or dot is hit by its label, too.
SMALL = """(() => [...document.querySelectorAll('a[href], button, summary, input:not([type=hidden]), select')]
  .filter(element => element.checkVisibility() && element.getBoundingClientRect().right > 0 && !element.matches('.skip'))
  .filter(element => !(element.matches('a') && element.closest('p:not(.actions), li:not(nav li)')))
  .flatMap(element => { const box = (element.matches('[type=radio], [type=checkbox]') ? element.closest('label') : element).getBoundingClientRect();
    return Math.min(box.width, box.height) < 24 ? [`${element.outerHTML.slice(0, 80)} is ${box.width.toFixed()} by ${box.height.toFixed()}`] : []; }))()"""
# One heading of the page and no level left out, a language, a title, parts to jump to, labels that are there.
ORDER = """(() => {
  const wrong = [], levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(heading => Number(heading.tagName[1]));
  if (levels.filter(level => level === 1).length !== 1 || levels[0] !== 1) wrong.push(`headings: ${levels}`);
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push(`headings leave a level out: ${levels}`); });
  if (document.documentElement.lang !== 'en') wrong.push('no language');
  if (document.title.trim().length < 3) wrong.push('no title');
  if (document.querySelectorAll('main').length !== 1) wrong.push('not one main part');
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach(id => wrong.push(`${id} twice`));
  for (const link of document.querySelectorAll('a[href^="#"]')) if (!ids.includes(link.hash.slice(1))) wrong.push(`${link.hash} is nowhere`);
  for (const name of ['aria-describedby', 'aria-labelledby']) for (const element of document.querySelectorAll(`[${name}]`))
    if (!ids.includes(element.getAttribute(name))) wrong.push(`${name} of ${element.id} is nowhere`);
  for (const field of document.querySelectorAll('input:not([type=hidden]), select'))
    if (!field.labels.length && !field.getAttribute('aria-label')) wrong.push(`${field.name} has no label`);
  for (const table of document.querySelectorAll('table')) for (const row of table.rows)
    if (![...row.cells].some(cell => cell.scope)) wrong.push(`a row without a heading: ${row.textContent.slice(0, 30)}`);
  return wrong; })()"""
# What is wrong with a field stands beside it and is tied to it.
TOLD = """(() => [...document.querySelectorAll('[aria-invalid=true]')].flatMap(field => {
  const told = document.getElementById(field.getAttribute('aria-describedby'));
  if (!told || !told.textContent.trim()) return [`nothing says what is wrong with ${field.id}`];
  if (!field.checkVisibility()) return [`${field.id} is wrong and cannot be seen`];
  const [a, b] = [field.getBoundingClientRect(), told.getBoundingClientRect()];
  const gap = Math.max(b.top - a.bottom, a.top - b.bottom);
  return gap > 64 ? [`what is wrong with ${field.id} stands ${gap.toFixed()} pixels away`] : []; }))()"""
CHECKS = (CONTRAST, WIDTH, SMALL, ORDER, TOLD)
# How the focus is seen: where it is, and what is drawn around it.
FOCUS = """(() => { const at = document.activeElement; if (!at || at === document.body) return null;
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  return {tag: at.tagName, name: at.name || '', value: at.value || '', words: at.textContent.trim(),
    seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 0
      && box.top >= -1 && box.left >= -1 && box.bottom <= innerHeight + 1 && box.right <= innerWidth + 1}; })()"""
OPERATED = {"button", "link", "textbox", "combobox", "checkbox", "radio", "spinbutton", "searchbox", "DisclosureTriangle"}
SIZES = (("desktop", 1280, 900), ("phone", 390, 844), ("narrow", 320, 640))


def nameless(browser):
    """What can be operated and has no name for whoever cannot see it."""
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in OPERATED]
    return [f"a {node['role']['value']} without a name" for node in shown if not node.get("name", {}).get("value", "").strip()]


def look(browser, name, shots):
    """Looks at the page that is open, in all sizes, by day and by night; with a folder for shots, takes a picture of each but the narrowest."""
    wrong = []
    for size, width, height in SIZES:
        browser.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size != "desktop")
        for scheme in ("light", "dark"):
            browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            for check in CHECKS:
                wrong += [f"{name}, {size}, {scheme}: {found}" for found in browser.evaluate(check)]
            if shots and size != "narrow":
                picture = browser.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
                keep(shots, f"{name}-{size}-{scheme}.png", base64.b64decode(picture))
    browser.devtools("Emulation.clearDeviceMetricsOverride")
    return wrong + [f"{name}: {found}" for found in nameless(browser)]


def keep(shots, name, content):
    """Keeps a file beside the pictures, if they are wanted."""
    if shots:
        with open(os.path.join(shots, name), "wb") as file:
            file.write(content)


def plant(browser):
    """What the checks look for, they find."""
    browser.evaluate("""(() => { const planted = document.createElement('button'); planted.textContent = 'planted';
      planted.style.cssText = 'color: #888; background: #999; width: 3000px; height: 9px; padding: 0; min-height: 0; border: 0; display: block';
      const field = document.createElement('input'); field.setAttribute('aria-invalid', 'true'); field.id = 'content';
      document.querySelector('main').append(planted, field, document.createElement('h4')); })()""")
    found = [browser.evaluate(check) for check in CHECKS] + [nameless(browser)]
    assert all(found), f"the checks are blind: {found}"
    for words in ("headings leave", "content twice", "has no label"):
        assert any(words in one for one in found[3]), f"the checks are blind to {words}: {found[3]}"
