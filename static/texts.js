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

/** 0.314 as 31.4 %, or 31,4 % where that is the custom. */
const inPercent = (share) => `${(100 * share).toLocaleString(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} %`;
