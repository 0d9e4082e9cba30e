#!/usr/bin/env node
// Compiles contracts/*.sol and writes ABI and bytecode to sdk/ostraka/chain/artifacts/.
//   node tools/contracts/compile.mjs           write
//   node tools/contracts/compile.mjs --check   compare; exit 1 where the committed files differ
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..", "..");
const target = path.join(root, "sdk", "ostraka", "chain", "artifacts");
const require = createRequire(path.join(root, "package.json"));
const MAX_RUNTIME_BYTES = 24_576; // EIP-170

let solc;
try {
  solc = require("solc");
} catch {
  fail("solc is not installed; run `npm ci`");
}

const settings = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: "shanghai", // Ganache has no later one
  metadata: { bytecodeHash: "none", appendCBOR: false }, // the same bytes wherever the sources lie
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"] } },
};

function fail(message) {
  process.stderr.write(`compile: ${message}\n`);
  process.exit(1);
}

/** Every file directly in contracts/ is one deployable contract of the same name. */
const names = fs
  .readdirSync(path.join(root, "contracts"))
  .filter((file) => file.endsWith(".sol"))
  .map((file) => file.slice(0, -4))
  .sort();

function read(file) {
  for (const base of [root, path.join(root, "node_modules")]) {
    const full = path.join(base, file);
    if (fs.existsSync(full)) return { contents: fs.readFileSync(full, "utf8") };
  }
  return { error: `${file} not found` };
}

/** SHA-256 over all sources but those for tests, by which a test that cannot wait for the compiler sees that artifacts are old. */
function digest() {
  const files = fs
    .readdirSync(path.join(root, "contracts"), { recursive: true })
    .map((file) => file.split(path.sep).join("/"))
    .filter((file) => file.endsWith(".sol") && !file.startsWith("mocks/"))
    .sort();
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\0${fs.readFileSync(path.join(root, "contracts", file), "utf8")}\0`);
  return hash.digest("hex");
}

function compile() {
  const sources = Object.fromEntries(
    names.map((name) => [`contracts/${name}.sol`, { content: read(`contracts/${name}.sol`).contents }]),
  );
  const output = JSON.parse(
    solc.compile(JSON.stringify({ language: "Solidity", sources, settings }), { import: read }),
  );
  const messages = output.errors ?? [];
  for (const message of messages) process.stderr.write(message.formattedMessage + "\n");
  if (messages.some((message) => message.severity === "error")) fail("the contracts do not compile");
  if (messages.length) fail("warnings count as errors");
  return output.contracts;
}

/** Where immutables stand in the runtime code, as [start, length] in bytes. */
function places(references) {
  const all = Object.values(references ?? {}).flat();
  return all.map(({ start, length }) => [start, length]).sort((a, b) => a[0] - b[0]);
}

function files(contracts) {
  const written = {};
  for (const name of names) {
    const contract = contracts[`contracts/${name}.sol`][name];
    const size = contract.evm.deployedBytecode.object.length / 2;
    process.stdout.write(`${name}: ${size} bytes\n`);
    if (size > MAX_RUNTIME_BYTES) fail(`${name} is larger than ${MAX_RUNTIME_BYTES} bytes (EIP-170)`);
    written[`${name}.json`] = {
      contractName: name,
      abi: contract.abi,
      bytecode: "0x" + contract.evm.bytecode.object,
      runtime: "0x" + contract.evm.deployedBytecode.object,
      immutables: places(contract.evm.deployedBytecode.immutableReferences), // zero in `runtime`, filled in by constructors
    };
  }
  const { outputSelection, ...kept } = settings;
  written["compiler.json"] = { language: "Solidity", version: solc.version().replace(/\.Emscripten.*/, ""), settings: kept, sources: digest() };
  return Object.fromEntries(Object.entries(written).map(([file, value]) => [file, JSON.stringify(value, null, 1) + "\n"]));
}

const wanted = files(compile());
const there = fs.existsSync(target) ? fs.readdirSync(target).filter((file) => file.endsWith(".json")) : [];
const superfluous = there.filter((file) => !(file in wanted));
if (process.argv.includes("--check")) {
  const stale = Object.keys(wanted).filter(
    (file) => !there.includes(file) || fs.readFileSync(path.join(target, file), "utf8") !== wanted[file],
  );
  if (stale.length || superfluous.length) {
    fail(`differ from the sources: ${[...stale, ...superfluous].join(", ")}; run \`node tools/contracts/compile.mjs\``);
  }
  process.stdout.write("artifacts match the sources\n");
} else {
  fs.mkdirSync(target, { recursive: true });
  for (const file of superfluous) fs.rmSync(path.join(target, file));
  for (const [file, text] of Object.entries(wanted)) fs.writeFileSync(path.join(target, file), text);
}
