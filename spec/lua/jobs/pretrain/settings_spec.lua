--- The settings of pre-training.

local settings = require "bertlua.jobs.pretrain.settings"

describe("settings of pre-training", function()
    it("have the reference's defaults", function()
        local values = settings:parse {}
        for name, default in pairs { bert_model = "bert-large-uncased", log_freq = 10, num_steps_per_checkpoint = 100,
            last_step_of_checkpoint = "none", seed = 42, show_config = true,
            enable_cpu_affinity = true, num_workers = 1, benchmark = false, benchmark_steps = 20,
            benchmark_warmup_steps = 20, optimizer = "Lamb", gradient_merge_steps = 1, learning_rate = 1e-4,
            warmup_start_lr = 0, warmup_proportion = 0.01, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-6,
            weight_decay = 0.01, max_seq_length = 512, batch_size = 32, phase1 = false, phase2 = false,
            max_predictions_per_seq = 80, amp = false, scale_loss = 1, use_dynamic_loss_scaling = false,
            use_pure_fp16 = false } do
            assert.are.equal(default, values[name], name)
        end
    end)
end)
