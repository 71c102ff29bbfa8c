// Numbers, sizes and times as text.

const whole = new Intl.NumberFormat("en");

export function count(value) {
  return Number.isFinite(value) ? whole.format(value) : "?";
}

/** `2 packs`, `1 pack`. */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A size in decimal units. */
export function size(bytes) {
  if (!Number.isFinite(bytes)) return "?";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toPrecision(2 + (bytes >= 10))} ${units[unit]}`;
}

export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "–";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
}

/** A share as percents, with two digits that matter, down to a hundredth of a percent. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  const percents = value * 100;
  if (percents === 0) return "0%";
  if (percents > 0 && percents < 0.005) return "< 0.01%";
  return `${percents.toFixed(percents >= 9.95 ? 0 : percents >= 0.995 ? 1 : 2)}%`;
}

export function decimal(value, digits) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** A day from seconds since 1970. */
export function day(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().slice(0, 10);
}
