// Rasterise the drawings named in a job list: node render.mjs JOBS.json OUT_FOLDER [PACKAGES]
//
// JOBS.json is [[vendor package, icon name, file name], ...] as the pack scripts write it. resvg is
// Rust and panics on a few drawings, which ends the process and throws nothing in JavaScript. So
// the work is done in a child that says what it is about to draw; when the child dies, the
// drawing goes on the skip list and a new child carries on behind it.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SIZE = 192; // px; drawings are cropped to their alpha box and reduced to 72 px later

async function draw(jobs, out, packages, start) {
  const require = createRequire(join(resolve(packages), 'node_modules', 'x.js'));
  const { Resvg } = require('@resvg/resvg-js');
  const vendors = {};
  for (let at = start; at < jobs.length; at += 1) {
    const [vendor, icon, file] = jobs[at];
    const pack = (vendors[vendor] ??= require(`@iconify-json/${vendor}/icons.json`));
    const path = join(out, file);
    if (existsSync(path)) continue;
    const alias = pack.aliases?.[icon];
    const drawing = pack.icons[icon] ?? pack.icons[alias?.parent];
    const width = drawing.width ?? pack.width;
    const height = drawing.height ?? pack.height;
    const box = `${drawing.left ?? 0} ${drawing.top ?? 0} ${width} ${height}`;
    const svg =
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
      `viewBox="${box}" width="${width}" height="${height}">${drawing.body}</svg>`;
    process.send(at);
    mkdirSync(dirname(path), { recursive: true });
    const image = new Resvg(svg, { fitTo: { mode: 'width', value: SIZE } }).render();
    writeFileSync(path, image.asPng()); // the PNG has straight alpha, raw pixels are premultiplied
  }
}

function supervise(jobsFile, out, packages) {
  const jobs = JSON.parse(readFileSync(jobsFile));
  const skipped = [];
  const again = (start) => {
    let last = start;
    const child = spawn(
      process.execPath,
      [fileURLToPath(import.meta.url), jobsFile, out, packages, String(start)],
      { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] },
    );
    child.on('message', (at) => (last = at));
    child.on('exit', (code) => {
      if (code === 0) {
        writeFileSync(join(out, 'skipped.json'), JSON.stringify(skipped, null, 1));
        console.log(`${jobs.length} drawings, ${skipped.length} skipped`);
        return;
      }
      skipped.push(jobs[last][2]);
      console.log(`resvg panicked on ${jobs[last][2]}`);
      again(last + 1);
    });
  };
  again(0);
}

const [jobsFile, out, packages = '.', start] = process.argv.slice(2);
if (start === undefined) {
  mkdirSync(out, { recursive: true });
  supervise(jobsFile, out, packages);
} else {
  await draw(JSON.parse(readFileSync(jobsFile)), out, packages, Number(start));
}
