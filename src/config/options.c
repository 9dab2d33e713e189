/* The table of options: everything that is said about a key is said here, once. */
#include "config_internal.h"

#include <string.h>

#define AT(member) offsetof(struct config, member)
#define FREE CONFIG_RESUME_FREE
#define WARN CONFIG_RESUME_WARN
#define REFUSE CONFIG_RESUME_REFUSE

/* Enums are read and written as int. */
_Static_assert(sizeof(enum model_kind) == sizeof(int), "an enum is as large as an int");

static const struct choice model_kinds[] = {{"standard", MODEL_STANDARD},
                                            {"full", MODEL_FULL},
                                            {"block", MODEL_BLOCK},
                                            {"block_full", MODEL_BLOCK_FULL},
                                            {NULL, 0}};
static const struct choice reads[] = {{"query", READ_QUERY}, {"static", READ_STATIC}, {NULL, 0}};
static const struct choice precisions[] = {
    {"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {NULL, 0}};
static const struct choice value_precisions[] = {
    {"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {"int8", PRECISION_INT8}, {NULL, 0}};
static const struct choice gradient_precisions[] = {
    {"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {NULL, 0}};
static const struct choice schedules[] = {
    {"gpipe", SCHEDULE_GPIPE}, {"1f1b", SCHEDULE_1F1B}, {"interleaved", SCHEDULE_INTERLEAVED},
    {"zb_h1", SCHEDULE_ZB_H1}, {"zb_v", SCHEDULE_ZB_V}, {NULL, 0}};
static const struct choice deflates[] = {
    {"off", DEFLATE_OFF}, {"on", DEFLATE_ON}, {"auto", DEFLATE_AUTO}, {NULL, 0}};
/* Orders that no file chooses, but evaluation. */
static const struct choice other_schedules[] = {
    {"forward", SCHEDULE_FORWARD}, {"forward_v", SCHEDULE_FORWARD_V}, {NULL, 0}};
static const struct choice optims[] = {{"adamw", OPTIM_ADAMW}, {NULL, 0}};
static const struct choice lr_schedules[] = {
    {"cosine", LR_COSINE}, {"wsd", LR_WSD}, {"constant", LR_CONSTANT}, {NULL, 0}};
static const struct choice data_kinds[] = {
    {"synthetic", DATA_SYNTHETIC}, {"text", DATA_TEXT}, {"tokens", DATA_TOKENS}, {NULL, 0}};
static const struct choice losses[] = {{"all", LOSS_ALL}, {"answer", LOSS_ANSWER}, {NULL, 0}};
static const struct choice recomputes[] = {
    {"none", RECOMPUTE_NONE}, {"block", RECOMPUTE_BLOCK}, {"all", RECOMPUTE_ALL}, {NULL, 0}};
const struct choice config_task_words[] = {{"stories", TASK_STORIES}, {"ptr", TASK_PTR},
                                           {"phop", TASK_PHOP},       {"vars", TASK_VARS},
                                           {"perm", TASK_PERM},       {NULL, 0}};

const struct section config_sections[] = {
    {"run", "The run's folder, its seed and how long it may take."},
    {"model", "The shape of the transformer and its attention over depth."},
    {"representative", "Precision in which a block's representative is kept and sent."},
    {"batch", "Sequences of a step and how they are cut into microbatches."},
    {"pipeline", "How the run is spread. Only replicas and cache affect numbers."},
    {"optim", "The optimizer and its learning rate."},
    {"data", "What the model is trained on."},
    {"train", "Length of the run, evaluation and logging."},
    {"checkpoint", "When the state is saved and how many of them are kept."},
    {"memory", "What may be used of it."},
    {"guard", "What to do about numbers that are not finite, that jump or do not repeat."},
    {"compute", "Precision and threads of the kernels."},
    {"trace", "Which steps are recorded event by event."},
};
const size_t config_n_sections = sizeof config_sections / sizeof config_sections[0];

/* The limits keep every product that later code forms of two or three of these within 63 bits. */
/* key, type, field, default, smallest, largest, choices, on resume, help. */
const struct option config_options[] = {
    {"run.dir", OPTION_TEXT, AT(run.dir), "auto", 0, 0, NULL, FREE,
     "Folder of the run. auto: runs/ and the name of the configuration file."},
    {"run.seed", OPTION_INT, AT(run.seed), "1", 0, 1e15, NULL, REFUSE,
     "Seed of weights and data order. The same seed gives the same bits on any number of "
     "ranks."},
    {"run.stall_s", OPTION_REAL, AT(run.stall_s), "120", 0, 1e6, NULL, FREE,
     "Seconds without progress after which the job ends and says who waited for whom. "
     "0: never."},
    {"run.stall_start_s", OPTION_REAL, AT(run.stall_start_s), "1800", 0, 1e6, NULL, FREE,
     "In place of run.stall_s, where longer, before the first step and behind the last: one rank "
     "may read through its data while the others wait. 0: never."},
    {"run.stall_save_s", OPTION_REAL, AT(run.stall_save_s), "600", 0, 1e6, NULL, FREE,
     "In place of run.stall_s, where longer, while a checkpoint is saved. 0: never."},
    {"run.max_hours", OPTION_REAL, AT(run.max_hours), "0", 0, 1e5, NULL, FREE,
     "Hours that a process of the run may take, with the checkpoint that it saves in time before "
     "it stops with exit code 75. 0: no limit."},

    {"model.kind", OPTION_CHOICE, AT(model.kind), "block_full", 0, 0, model_kinds, REFUSE,
     "Residual kind: what each sublayer reads. standard: the running sum; full: every "
     "earlier output; block: the representatives of earlier blocks and the open block's "
     "sum; block_full: the representatives and every output of the open block."},
    {"model.layers", OPTION_INT, AT(model.n_layers), "8", 1, 4096, NULL, REFUSE,
     "Transformer layers. Each is two sublayers, attention and MLP."},
    {"model.blocks", OPTION_INT, AT(model.n_blocks), "2", 1, 8192, NULL, REFUSE,
     "Blocks of consecutive sublayers that depth attention compresses to one "
     "representative each. With L sublayers a block has S = ceil(L / blocks) of them; "
     "ceil(L / S) must be blocks again. For full and standard it only guides the "
     "partition."},
    {"model.dim", OPTION_INT, AT(model.dim), "128", 2, 65536, NULL, REFUSE,
     "Width of the residual stream."},
    {"model.heads", OPTION_INT, AT(model.n_heads), "4", 1, 32768, NULL, REFUSE,
     "Attention heads. They divide model.dim, and dim / heads is even."},
    {"model.kv_heads", OPTION_INT, AT(model.n_kv_heads), "4", 1, 32768, NULL, REFUSE,
     "Heads of keys and values. They divide model.heads; fewer is grouped-query "
     "attention."},
    {"model.ff", OPTION_INT, AT(model.ff), "336", 1, 1048576, NULL, REFUSE,
     "Width inside the MLP (SwiGLU)."},
    {"model.vocab", OPTION_INT, AT(model.vocab), "256", 2, 16777216, NULL, REFUSE,
     "Size of the vocabulary. Bytes (text and synthetic data) need 256."},
    {"model.seq_len", OPTION_INT, AT(model.seq_len), "256", 1, 1048576, NULL, REFUSE,
     "Tokens of a sequence."},
    {"model.tied", OPTION_BOOL, AT(model.tied), "false", 0, 0, NULL, REFUSE,
     "Whether the output head is the embedding."},
    {"model.norm_eps", OPTION_REAL, AT(model.norm_eps), "1e-8", 1e-30, 1, NULL, REFUSE,
     "Added to the mean square in every norm and in the keys of depth attention. Keep it "
     "small: a mean over many sources has a small mean square."},
    {"model.init_std", OPTION_REAL, AT(model.init_std), "0.02", 1e-6, 10, NULL, REFUSE,
     "Standard deviation of the initial matrices; for attention-out and MLP-down it is "
     "divided by the root of the number of sublayers. Narrow models learn sooner from "
     "larger ones."},
    {"model.read", OPTION_CHOICE, AT(model.read), "query", 0, 0, reads, REFUSE,
     "How a read weighs its sources. query: a learned query against each source; static: "
     "one learned logit per source, blind to the input (a control)."},

    {"representative.value", OPTION_CHOICE, AT(representative.value), "f32", 0, 0, value_precisions,
     REFUSE,
     "Precision that every completed source is rounded to once, on one rank as on many, and in "
     "which it crosses cuts. int8 keeps one scale per token."},
    {"representative.gradient", OPTION_CHOICE, AT(representative.gradient), "f32", 0, 0,
     gradient_precisions, REFUSE,
     "Precision that their accumulated gradients are rounded to at every block border on the way "
     "back."},

    {"batch.sequences", OPTION_INT, AT(batch.n_sequences), "16", 1, 1048576, NULL, REFUSE,
     "Sequences per step, over all replicas."},
    {"batch.microbatch", OPTION_INT, AT(batch.microbatch), "2", 1, 1048576, NULL, REFUSE,
     "Sequences that pass through the pipeline together. Divides batch.sequences; smaller "
     "ones keep more stages busy."},

    {"pipeline.stages", OPTION_AUTO_INT, AT(pipeline.n_stages), "auto", 1, CONFIG_MAX_STAGES, NULL,
     FREE, "Ranks of one pipeline, each with a stage per chunk. auto: ranks / replicas."},
    {"pipeline.chunks", OPTION_INT, AT(pipeline.n_chunks), "1", 1, CONFIG_MAX_CHUNKS, NULL, FREE,
     "Stages that each rank owns: more than 1 with schedule interleaved, 2 with zb_v."},
    {"pipeline.replicas", OPTION_AUTO_INT, AT(pipeline.n_replicas), "1", 1, CONFIG_MAX_REPLICAS,
     NULL, FREE,
     "Pipelines that share the sequences of a step, each on ranks of its own: stages x replicas "
     "ranks in all. auto: ranks / stages, 1 where stages is auto too. Numbers depend on how many "
     "there are, on nothing else of the grid."},
    {"pipeline.schedule", OPTION_CHOICE, AT(pipeline.schedule), "1f1b", 0, 0, schedules, FREE,
     "Order of forwards and backwards. gpipe: all forwards first; 1f1b: as soon as the "
     "pipeline is full, one backward after each forward, which holds less memory; interleaved: "
     "1f1b "
     "over several chunks a rank; zb_h1, zb_v: weight gradients fill what would be waiting."},
    {"pipeline.group", OPTION_AUTO_INT, AT(pipeline.n_group), "auto", 1, 1048576, NULL, FREE,
     "Microbatches that go through a chunk in turn under interleaved. auto: as many as stages."},
    {"pipeline.partition", OPTION_PARTITION, AT(pipeline), "auto", 1, 8192, NULL, FREE,
     "Sublayers of each stage. auto: the slowest rank as fast as possible, by pipeline.costs or "
     "counted FLOPs and bytes with embedding, head and what crosses the cuts, within memory.limit; "
     "blocks: whole "
     "blocks, as equal as possible; a list such as [3, 5]: one entry per stage, summing to "
     "twice model.layers."},
    {"pipeline.cache", OPTION_BOOL, AT(pipeline.cache), "off", 0, 0, NULL, FREE,
     "Whether ranks keep the sources that earlier chunks held, so that a hop carries only what "
     "its receiver lacks. Saves messages where chunks are more than 1, and gives up that "
     "numbers do not depend on the cut: in the tests gradients of a step differ by less than "
     "1e-6 of them, with representative.gradient=bf16 by less than 1e-2 (kind full: 3e-2)."},
    {"pipeline.deflate", OPTION_CHOICE, AT(pipeline.deflate), "off", 0, 0, deflates, FREE,
     "Whether messages between stages are deflated, without loss: floats shrink by a sixth (f32) "
     "or "
     "a third (bf16) and cost processor time. auto: train measures each cut between hosts in each "
     "direction before the first step, and says what it chose."},
    {"pipeline.costs", OPTION_TEXT, AT(pipeline.costs), "none", 0, 0, NULL, FREE,
     "File of measured costs, by which partition auto cuts and attnres plan predicts; attnres plan "
     "--calibrate writes it. Of several ranks the first reads it. none: FLOPs and bytes are "
     "counted."},

    {"optim.kind", OPTION_CHOICE, AT(optim.kind), "adamw", 0, 0, optims, REFUSE,
     "The optimizer. This version knows only adamw."},
    {"optim.lr", OPTION_REAL, AT(optim.lr), "3e-3", 0, 1e3, NULL, WARN,
     "Peak learning rate, reached after the warm-up."},
    {"optim.beta1", OPTION_REAL, AT(optim.beta1), "0.9", 0, 0.999999, NULL, REFUSE,
     "Decay of the mean of gradients."},
    {"optim.beta2", OPTION_REAL, AT(optim.beta2), "0.95", 0, 0.999999, NULL, REFUSE,
     "Decay of the mean of squared gradients."},
    {"optim.eps", OPTION_REAL, AT(optim.eps), "1e-8", 1e-30, 1, NULL, REFUSE,
     "Added to the root of the squared mean."},
    {"optim.weight_decay", OPTION_REAL, AT(optim.weight_decay), "0.1", 0, 100, NULL, REFUSE,
     "Decay of matrices, embedding and head, times the learning rate. Gains, queries and "
     "logits do not decay."},
    {"optim.clip", OPTION_REAL, AT(optim.clip), "1.0", 0, 1e9, NULL, REFUSE,
     "Gradients are scaled down to this norm over all weights. 0: off."},
    {"optim.schedule", OPTION_CHOICE, AT(optim.schedule), "cosine", 0, 0, lr_schedules, WARN,
     "Learning rate after the warm-up. cosine: falls to min_lr_ratio; wsd: stays, then "
     "falls over the last cooldown_ratio of the steps; constant: stays."},
    {"optim.warmup_steps", OPTION_INT, AT(optim.warmup_steps), "100", 0, 1e9, NULL, WARN,
     "Steps in which the learning rate rises to its peak. In a run of fewer steps it "
     "rises to the end."},
    {"optim.min_lr_ratio", OPTION_REAL, AT(optim.min_lr_ratio), "0.1", 0, 1, NULL, WARN,
     "Last learning rate as a share of optim.lr."},
    {"optim.cooldown_ratio", OPTION_REAL, AT(optim.cooldown_ratio), "0.2", 0, 1, NULL, WARN,
     "Share of the steps in which wsd lowers the learning rate."},

    {"data.kind", OPTION_CHOICE, AT(data.kind), "synthetic", 0, 0, data_kinds, REFUSE,
     "Where tokens come from. synthetic: made while training, see data.task; text: files "
     "of bytes; tokens: llm.c shards."},
    {"data.task", OPTION_CHOICE, AT(data.task), "stories", 0, 0, config_task_words, REFUSE,
     "Synthetic task. stories: facts in plain English and questions of 1 to 4 hops over "
     "them; the others are bare puzzles of several hops."},
    {"data.tasks", OPTION_TASKS, AT(data), "{}", 0, 1e6, NULL, REFUSE,
     "Mixture of synthetic tasks with their weights, such as {ptr: 1, vars: 1}. Takes the "
     "place of data.task unless empty."},
    {"data.train", OPTION_TEXT, AT(data.train), "", 0, 0, NULL, FREE,
     "Training data: a file, a folder or a quoted glob. For text also .txt.gz. It may move between "
     "start and resume; its contents must stay."},
    {"data.val", OPTION_TEXT, AT(data.val), "", 0, 0, NULL, FREE,
     "Validation data, given like data.train. Text without it keeps the last 5 % of each "
     "training file for validation."},
    {"data.loss", OPTION_CHOICE, AT(data.loss), "all", 0, 0, losses, REFUSE,
     "Which targets count. all: every token; answer: only the answers of synthetic items."},
    {"data.max_bytes", OPTION_INT, AT(data.max_bytes), "4e9", 1, 1e15, NULL, REFUSE,
     "Compressed text is inflated into memory: more bytes than this are refused. Plain text and "
     "token shards are mapped."},
    {"data.skip", OPTION_RANGES, AT(data), "[]", 0, 1e15, NULL, WARN,
     "Windows of training data that are stepped over, such as [1600-1615, 1700]; those behind them "
     "move up. They are counted from 0 in the order in which the run takes them, over all epochs, "
     "as messages of the guards name them."},

    {"train.steps", OPTION_INT, AT(train.n_steps), "1000", 1, 1e9, NULL, WARN,
     "Updates of the weights."},
    {"train.eval_every", OPTION_INT, AT(train.eval_every), "100", 0, 1e9, NULL, FREE,
     "Steps between evaluations on validation data. The last step is evaluated too; 0: "
     "never."},
    {"train.eval_tokens", OPTION_INT, AT(train.eval_tokens), "65536", 1, 1e12, NULL, FREE,
     "Tokens of one such evaluation."},
    {"train.log_every", OPTION_INT, AT(train.log_every), "10", 1, 1e9, NULL, FREE,
     "Steps between lines of metrics.jsonl."},
    {"train.init", OPTION_TEXT, AT(train.init), "none", 0, 0, NULL, WARN,
     "Checkpoint whose weights start a new run. none: weights drawn from run.seed."},

    {"checkpoint.every", OPTION_INT, AT(checkpoint.every), "500", 0, 1e9, NULL, FREE,
     "Steps between checkpoints. One is saved at the end in any case; 0: only that."},
    {"checkpoint.minutes", OPTION_REAL, AT(checkpoint.minutes), "0", 0, 1e6, NULL, FREE,
     "Minutes after the last checkpoint, by the first rank's clock, after which the step in hand "
     "is "
     "saved as well. 0: steps alone count."},
    {"checkpoint.keep", OPTION_INT, AT(checkpoint.keep), "3", 1, 1e6, NULL, FREE,
     "Checkpoints kept. Older ones go once a newer one was read back. Of 1 it is not known whether "
     "an update can still be made from it."},
    {"checkpoint.initial", OPTION_BOOL, AT(checkpoint.initial), "false", 0, 0, NULL, FREE,
     "Whether step 0 is saved, before any update."},
    {"checkpoint.async", OPTION_BOOL, AT(checkpoint.in_background), "false", 0, 0, NULL, FREE,
     "Whether training goes on while a thread of each rank writes. The last checkpoint is waited "
     "for; no number changes."},
    {"checkpoint.snapshot_bytes", OPTION_AUTO_INT, AT(checkpoint.snapshot_bytes), "auto", 1, 1e15,
     NULL, FREE,
     "With checkpoint.async, what a rank may copy of what an update changes and is not written "
     "yet; when it is full the update waits. auto: an eighth of the rank's weights and moments."},

    {"memory.recompute", OPTION_CHOICE, AT(memory.recompute), "none", 0, 0, recomputes, FREE,
     "What backward computes again to save memory; no number changes. none: nothing, a microbatch "
     "keeps all of its forward pass. block: it keeps what came into the stage and the sources at "
     "its "
     "block borders; backward runs one block at a time again, about a forward pass more. all: it "
     "keeps only what came in; backward runs the stage again and then block by block, up to two "
     "forward passes more. What the weight gradients need stays until they are done."},
    {"memory.limit", OPTION_AUTO_INT, AT(memory.limit_bytes), "auto", 1048576, 1e15, NULL, FREE,
     "Bytes a rank may plan to use; partition auto keeps within them, and a plan beyond them is "
     "refused with what would fit. auto: the ranks of a host may plan what it has available, and "
     "its control group leaves, together."},

    {"guard.max_skips", OPTION_INT, AT(guard.max_skips), "10", 0, 1e9, NULL, FREE,
     "Updates that may be skipped in a row, for numbers that are not finite or spikes; one more "
     "ends the run with exit code 1."},
    {"guard.spike_z", OPTION_REAL, AT(guard.spike_z), "0", 0, 1e6, NULL, FREE,
     "Loss or gradient norm this many standard deviations above its mean over the last 100 steps "
     "or so is a spike, and told. 0: nothing is."},
    {"guard.spike_skip", OPTION_BOOL, AT(guard.spike_skip), "false", 0, 0, NULL, FREE,
     "Whether the update of a step that is a spike is skipped, too."},
    {"guard.check_every", OPTION_INT, AT(guard.check_every), "0", 0, 1e9, NULL, FREE,
     "Steps between steps that are computed twice and compared bit for bit, their updates too; "
     "replicas then compare their weights, as before every checkpoint. A difference ends the run "
     "with exit code 1, naming rank and host. 0: none."},

    {"compute.precision", OPTION_CHOICE, AT(compute.precision), "f32", 0, 0, precisions, REFUSE,
     "Precision of the inputs of matrix products. bf16: sums, softmax, statistics, weights and "
     "optimizer stay in f32; needs oneDNN and a processor with avx512_bf16."},
    {"compute.threads", OPTION_AUTO_INT, AT(compute.n_threads), "auto", 1, 4096, NULL, FREE,
     "Threads of a rank; no effect on the numbers. auto: the cores the rank is bound to, and no "
     "more than its control group's quota, shared evenly with ranks bound to the same; at most "
     "OMP_NUM_THREADS, where that is set."},

    {"trace.first", OPTION_INT, AT(trace.first), "10", 1, 1e9, NULL, FREE,
     "First step that is traced, counted from 1."},
    {"trace.steps", OPTION_INT, AT(trace.n_steps), "0", 0, 1e9, NULL, FREE,
     "Steps that are traced. At the end of the run they are merged into trace/trace.json in its "
     "folder, for ui.perfetto.dev or chrome://tracing, and trace/step.svg shows one. 0: none."},
};
const size_t config_n_options = sizeof config_options / sizeof config_options[0];
_Static_assert(sizeof config_options / sizeof config_options[0] <= CONFIG_OPTIONS_MAX,
               "a reading has a place for each option");

const struct option *config_find_option(const char *key, size_t length)
{
    for (size_t i = 0; i < config_n_options; i++) {
        const char *known = config_options[i].key;
        if (strlen(known) == length && memcmp(known, key, length) == 0) {
            return &config_options[i];
        }
    }
    return NULL;
}

const struct section *config_find_section(const char *name, size_t length)
{
    for (size_t i = 0; i < config_n_sections; i++) {
        const char *known = config_sections[i].name;
        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            return &config_sections[i];
        }
    }
    return NULL;
}

bool config_is_in_section(const struct option *option, const struct section *section)
{
    const size_t length = strlen(section->name);
    return strncmp(option->key, section->name, length) == 0 && option->key[length] == '.';
}

const char *config_leaf(const char *key)
{
    const char *dot = strchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

const struct choice *config_find_choice(const struct choice *choices, const char *word)
{
    for (const struct choice *c = choices; c->word != NULL; c++) {
        if (strcmp(c->word, word) == 0) {
            return c;
        }
    }
    return NULL;
}

const char *config_choice_word(const struct choice *choices, int value)
{
    for (const struct choice *c = choices; c->word != NULL; c++) {
        if (c->value == value) {
            return c->word;
        }
    }
    return "?";
}

const char *config_model_kind_name(enum model_kind kind)
{
    return config_choice_word(model_kinds, (int)kind);
}

const char *config_schedule_name(enum schedule_kind kind)
{
    const char *word = config_choice_word(schedules, (int)kind);
    return word[0] != '?' ? word : config_choice_word(other_schedules, (int)kind);
}

const char *config_recompute_name(enum recompute_kind recompute)
{
    return config_choice_word(recomputes, (int)recompute);
}

const char *config_task_name(enum task_kind task)
{
    return config_choice_word(config_task_words, (int)task);
}

bool config_find_task(enum task_kind *task, const char *name)
{
    const struct choice *choice = config_find_choice(config_task_words, name);
    if (choice != NULL) {
        *task = (enum task_kind)choice->value;
    }
    return choice != NULL;
}
