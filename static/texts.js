// What scripts say, in the reader's language: the page brings the texts along, see texts() in parts.html.
"use strict";

/** The texts of the template `id`, by name. */
const textsOf = (id) => JSON.parse(document.getElementById(id).dataset.texts);

/** `text` with `values` in place of {name}. */
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/** Of a text's forms for one and for many, the one for `count`, with it in place of {count}. */
const counted = ([one, many], count) => {
  const { lang } = document.documentElement;
  return filled(new Intl.PluralRules(lang).select(count) === "one" ? one : many, { count: count.toLocaleString(lang) });
};

/** 0.314 as 31.4 %, or 31,4 % where that is the custom; never 0 % or 100 % for what is only nearly so. */
function inPercent(share) {
  const said = (percent) => percent.toLocaleString(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  if (share > 0 && share <= 0.0005) return `<\u00a0${said(0.1)}\u00a0%`;
  if (share >= 0.9995 && share < 1) return `>\u00a0${said(99.9)}\u00a0%`;
  return `${said(100 * share)}\u00a0%`;
}
