--- The settings of SQuAD.

local settings = require "bertlua.jobs.squad.settings"

describe("settings of SQuAD", function()
    it("have the reference's defaults, and the rate, warm-up and epochs of its runs", function()
        local values = settings:parse({}, {})
        for name, default in pairs { bert_model = "bert-large-uncased", log_freq = 10, num_steps_per_checkpoint = 100,
            last_step_of_checkpoint = "auto", seed = 42, show_config = true,
            enable_cpu_affinity = true, benchmark = false, benchmark_steps = 20, benchmark_warmup_steps = 20,
            optimizer = "Lamb", gradient_merge_steps = 1, learning_rate = 4.6e-5, warmup_start_lr = 0,
            warmup_proportion = 0.2, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-6, weight_decay = 0.01, amp = false,
            scale_loss = 1, use_dynamic_loss_scaling = false, use_pure_fp16 = false, epochs = 2, do_train = false,
            do_predict = false, do_eval = false, train_batch_size = 32, predict_batch_size = 8,
            verbose_logging = false, doc_stride = 128, max_query_length = 64, n_best_size = 20,
            max_answer_length = 30, version_2_with_negative = false, null_score_diff_threshold = 0 } do
            assert.are.equal(default, values[name], name)
        end
        for _, name in ipairs { "train_file", "predict_file", "eval_script", "max_steps", "do_lower_case",
            "from_pretrained_params", "from_checkpoint", "steps_this_run", "model_prefix", "max_seq_length" } do
            assert.is_table(settings.by_name[name], name)
        end
    end)
end)
