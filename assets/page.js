// What all pages do: they switch between light and dark, and keep the choice.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  try { const kept = localStorage.getItem("uvic-theme"); if (kept) root.dataset.theme = kept; } catch (e) { /* a file: page may have no storage */ }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("uvic-theme", root.dataset.theme); } catch (e) { /* as above */ }
    label();
  });
  label();
})();
