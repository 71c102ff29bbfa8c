// Decodes prompts with llama.cpp (node-llama-cpp): time to the first token and tokens a second, greedy, answers of full length.
//
//     node decode.mjs MODEL.gguf PROMPTS.jsonl TOKENS THREADS
//
// PROMPTS has lines {"question": ..., "texts": ...}: the question alone, and the prompt with the texts. Prints a JSON line for each of the two.
import {readFileSync} from "node:fs";
import {getLlama} from "node-llama-cpp";

const [, , path, prompts, count, threads] = process.argv;
const rows = readFileSync(prompts, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const llama = await getLlama({gpu: false, maxThreads: Number(threads), logLevel: "error"});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 2048, threads: Number(threads), batchSize: 2048});
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const results = {question: {first: [], rate: []}, texts: {first: [], rate: []}};
for (const [round, row] of [rows[0], ...rows].entries()) {
    for (const kind of ["question", "texts"]) {
        const sequence = context.getSequence();
        const tokens = model.tokenize(row[kind], true);
        const started = performance.now();
        let first = 0, done = 0;
        for await (const token of sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true})) {
            done += 1;
            if (done === 1) first = performance.now();
            if (done === Number(count)) break;
        }
        const ended = performance.now();
        // The first run warms up.
        if (round > 0) {
            results[kind].first.push(first - started);
            results[kind].rate.push(1e3 * (done - 1) / (ended - first));
        }
        sequence.dispose();
    }
}
for (const kind of ["question", "texts"]) {
    console.log(JSON.stringify({reads: kind, prompts: rows.length, first_token_ms: median(results[kind].first), tokens_per_second: median(results[kind].rate)}));
}
process.exit(0);
