--- hidden_act of a configuration, as F.linear calls it.
--
-- transformers' gelu_new and gelu_pytorch_tanh are one function, GELU in its tanh form (arXiv 1606.08415), which a GPU
-- computes in the epilogue of a product; gelu_python is gelu.

local OPS = { gelu = "gelu", gelu_python = "gelu", gelu_new = "gelu_tanh", gelu_pytorch_tanh = "gelu_tanh" }

--- @param name hidden_act; nil for "gelu"
--- @return "gelu" or "gelu_tanh"; nil for a name of another function
return function(name)
    return OPS[name or "gelu"]
end
