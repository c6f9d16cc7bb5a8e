// Calls functions of the page: reads [[module, function, arguments], ..] from stdin, writes their results as JSON.
// An argument {"bytesOf": PATH} stands for the bytes of a file.

import { readFileSync } from "node:fs";

const folder = new URL("../../deploy/web/", import.meta.url);
const meant = (argument) => (argument?.bytesOf ? new Uint8Array(readFileSync(argument.bytesOf)) : argument);
const results = [];
for (const [module, name, given] of JSON.parse(readFileSync(0, "utf8"))) {
  const found = await import(new URL(module, folder));
  try {
    results.push({ result: found[name](...given.map(meant)) });
  } catch (error) {
    results.push({ error: error.message });
  }
}
process.stdout.write(JSON.stringify(results));
