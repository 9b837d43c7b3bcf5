/*
 * folder.h - the parts of reading a model's folder: config.json (config.c),
 * vocabulary (words.c), what a run recorded (records.c), how vectors of texts
 * are made (sentences.c). folder.c puts them together.
 */
#ifndef BERTLUA_ENCODER_FOLDER_H
#define BERTLUA_ENCODER_FOLDER_H

#include "encoder/encoder.h"
#include "encoder/json.h"

/* A line for the user about what is read otherwise than it may seem; see bl_encoder_note. */
bl_status bl_folder_note(bl_model_folder *folder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Read config.json: size, architecture, labels, problem. */
bl_status bl_config_read(bl_model_folder *folder, const bl_encoder_options *options);

/*
 * What progress.json of a checkpoint and checksums.json of an export say; *out
 * is NULL without a progress.json. Sizes and CRC32C of the parameters are
 * compared; other files that differ are noted.
 */
bl_status bl_records_read(bl_model_folder *folder, json_t **progress);
/* Settings that the run of a checkpoint began with; NULL. */
const json_t *bl_records_settings(const json_t *progress);
/*
 * The checkpoint in a folder of steps that stands for its run: the best if the
 * run keeps one, else the newest that is complete and undamaged. *out is NULL
 * if there is no step at all. skipped: what is wrong with a newer one, or "".
 */
bl_status bl_records_preferred(const char *root, char **out, char *skipped, size_t room);

/* Open the tokenizer: vocabulary, casing, the vocabulary's size against the model's. */
bl_status bl_words_open(bl_model_folder *folder, const bl_encoder_options *options, const json_t *progress);

/* modules.json of sentence-transformers, or the settings of a run: pooling; *limit: most tokens, 0 if not said. */
bl_status bl_sentences_read(bl_model_folder *folder, const json_t *progress, int32_t *limit, bool *said);

#endif
