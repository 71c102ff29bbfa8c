// Decodes prompts with llama.cpp (node-llama-cpp), greedy, answers of full length.
//
//     node decode.mjs MODEL.gguf PROMPTS.jsonl TOKENS THREADS BATCH [TURNS]
//
// With TURNS above 1, consecutive prompts are turns of a conversation, and the last one is measured: what came before stays in llama.cpp's cache.
//
// PROMPTS has lines {"question": ..., "texts": ...}: the question alone, and the prompt with the texts. BATCH prompts are decoded at once. Prints a JSON
// line for each of the two kinds: the time to the first token (the mean of a batch), tokens a second from the prompts to the last token, and tokens a
// second after each first token, which for a batch is that of its slowest answer.
import {readFileSync} from "node:fs";
import {getLlama} from "node-llama-cpp";

const [, , path, prompts, count, threads, batch, turns = 1] = process.argv.map((word) => (/^\d+$/.test(word) ? Number(word) : word));
const rows = readFileSync(prompts, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const llama = await getLlama({gpu: false, maxThreads: threads, logLevel: "error"});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 1024 * turns, sequences: batch, threads, batchSize: 2048});
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const sequences = Array.from({length: batch}, () => context.getSequence());

/** A turn after others begins where the answer before it ends. */
async function answer(sequence, prompt, turn) {
    if (turn === 0) await sequence.clearHistory();
    const text = turn === 0 ? prompt : "<|im_end|><|im_start|>" + prompt;
    let first = 0, done = 0;
    for await (const token of sequence.evaluate(model.tokenize(text, true), {temperature: 0, yieldEogToken: true})) {
        done += 1;
        if (done === 1) first = performance.now();
        if (done === count) break;
    }
    return {first, last: performance.now(), done};
}

const groups = [];
for (let start = 0; start + batch * turns <= rows.length; start += batch * turns) groups.push(rows.slice(start, start + batch * turns));
for (const kind of ["question", "texts"]) {
    const results = {first: [], rate: [], decoding: []};
    // The first run warms up.
    for (const [round, group] of [groups[0], ...groups].entries()) {
        let started = 0, answers = [];
        for (let turn = 0; turn < turns; turn += 1) {
            const asked = group.slice(turn * batch, (turn + 1) * batch);
            started = performance.now();
            answers = await Promise.all(asked.map((row, place) => answer(sequences[place], row[kind], turn)));
        }
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
