// Light or dark: the system's choice, or the one of the button, which is kept.

import { byId } from './dom.ts';

/** The documentation keeps its choice there, too. */
const KEY = 'vitepress-theme-appearance';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

const isDark = (): boolean =>
  (document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark';

/** Calls back whenever the colours have changed. */
export function onTheme(listener: () => void): void {
  listeners.add(listener);
}

export function followTheme(): void {
  const button = byId('theme');
  const changed = (): void => {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.ariaLabel = `Switch to the ${isDark() ? 'light' : 'dark'} colours`;
    for (const listener of listeners) listener();
  };
  button.addEventListener('click', () => {
    const theme = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing: the choice holds until the page closes.
    }
    changed();
  });
  system.addEventListener('change', changed);
  changed();
}

/** A colour of style.css. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
