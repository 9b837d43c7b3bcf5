--- Models: BERT and its uses.

local bert = require "bertlua.models.bert"

return {
    BertConfig = bert.BertConfig,
    BertModel = bert.BertModel,
    BertForPretraining = bert.BertForPretraining,
    BertForQuestionAnswering = require "bertlua.models.question_answering",
    BertForSequenceClassification = require "bertlua.models.sequence_classification",
    BertForTokenClassification = require "bertlua.models.token_classification",
    SentenceEmbedding = require "bertlua.models.sentence_embedding",
    fill_mask = require("bertlua.models.fill_mask").fill_mask,
}
