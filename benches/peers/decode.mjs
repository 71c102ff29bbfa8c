// Decodes prompts with llama.cpp (node-llama-cpp), greedy, answers of full length.
//
//     node decode.mjs MODEL.gguf PROMPTS.jsonl TOKENS THREADS BATCH
//
// PROMPTS has lines {"question": ..., "texts": ...}: the question alone, and the prompt with the texts. BATCH prompts are decoded at once. Prints a JSON
// line for each of the two kinds: the time to the first token (the mean of a batch), tokens a second from the prompts to the last token, and tokens a
// second after each first token, which for a batch is that of its slowest answer.
import {readFileSync} from "node:fs";
import {getLlama} from "node-llama-cpp";

const [, , path, prompts, count, threads, batch] = process.argv.map((word) => (/^\d+$/.test(word) ? Number(word) : word));
const rows = readFileSync(prompts, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const llama = await getLlama({gpu: false, maxThreads: threads, logLevel: "error"});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 1024, sequences: batch, threads, batchSize: 2048});
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const sequences = Array.from({length: batch}, () => context.getSequence());

async function answer(sequence, prompt) {
    await sequence.clearHistory();
    let first = 0, done = 0;
    for await (const token of sequence.evaluate(model.tokenize(prompt, true), {temperature: 0, yieldEogToken: true})) {
        done += 1;
        if (done === 1) first = performance.now();
        if (done === count) break;
    }
    return {first, last: performance.now(), done};
}

const groups = [];
for (let start = 0; start + batch <= rows.length; start += batch) groups.push(rows.slice(start, start + batch));
for (const kind of ["question", "texts"]) {
    const results = {first: [], rate: [], decoding: []};
    // The first run warms up.
    for (const [round, group] of [groups[0], ...groups].entries()) {
        const started = performance.now();
        const answers = await Promise.all(group.map((row, place) => answer(sequences[place], row[kind])));
        if (round === 0) continue;
        const last = Math.max(...answers.map((answer) => answer.last));
        const tokens = answers.reduce((sum, answer) => sum + answer.done, 0);
        results.first.push(answers.reduce((sum, answer) => sum + answer.first - started, 0) / batch);
        results.rate.push(1e3 * tokens / (last - started));
        results.decoding.push(1e3 * (tokens - batch) / Math.max(...answers.map((answer) => answer.last - answer.first)));
    }
    console.log(JSON.stringify({
        reads: kind, prompts: groups.length * batch, first_token_ms: median(results.first), tokens_per_second: median(results.rate),
        decoding_tokens_per_second: median(results.decoding),
    }));
}
process.exit(0);
