// Set before the first paint, as a file of its own: the Content-Security-Policy allows no inline script.
(function () {
  var wanted = 'system';
  try {
    wanted = localStorage.getItem('theme') || 'system';
  } catch {
    // storage is off in this browser: the system decides
  }
  var dark = wanted === 'dark' || (wanted !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
