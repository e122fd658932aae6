// Reads diagrams as JSON and writes what Mermaid's parser has against them.
import { JSDOM } from 'jsdom';
import { readFileSync } from 'node:fs';

const { window } = new JSDOM('');
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import('mermaid');

const faults = [];
for (const { page, line, text } of JSON.parse(readFileSync(0, 'utf8'))) {
  try {
    await mermaid.parse(text);
  } catch (e) {
    faults.push(`${page}:${line}: ${e.message}`);
  }
}
process.stdout.write(JSON.stringify(faults));
