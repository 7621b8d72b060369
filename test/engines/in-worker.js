new Worker(`page.js${location.search}`, { type: 'module' });
