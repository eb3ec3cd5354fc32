"use strict";
// The last script: tells whoever drives the page that all others ran.
heapcast.root.dataset.ready = "1";
