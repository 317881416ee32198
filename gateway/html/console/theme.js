// Before the page is painted, so that it does not flash in the other theme. No module: those run too late.
const themes = ["auto", "light", "dark"];
const theme = {
  get current() {
    const kept = document.documentElement.dataset.theme;
    return themes.includes(kept) ? kept : "auto";
  },
  set current(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem("theme", name);
    } catch {
      // A browser that keeps nothing for this page shows the theme until it is left.
    }
  },
  next() {
    this.current = themes[(themes.indexOf(this.current) + 1) % themes.length];
  },
};
try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";
} catch {
  document.documentElement.dataset.theme = "auto";
}
window.theme = theme;
