// Set before the first paint, as a file of its own: the Content-Security-Policy allows no inline script.
(function () {
  var system = matchMedia('(prefers-color-scheme: dark)');
  function set() {
    var wanted = 'system';
    try {
      wanted = localStorage.getItem('theme') || 'system';
    } catch {
      // storage is off in this browser: the system decides
    }
    document.documentElement.dataset.theme = wanted === 'dark' || (wanted !== 'light' && system.matches) ? 'dark' : 'light';
  }
  set();
  system.addEventListener('change', set); // a system that goes dark in the evening takes open pages with it
})();
