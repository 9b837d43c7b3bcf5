--- Serve a model over HTTP.
-- Vectors, labels, words for masks and answers, as clients of Hugging Face's text-embeddings-inference and of OpenAI's
-- embeddings ask for them.
--
--     bertlua recipes/serve.lua --checkpoint all-MiniLM-L6-v2
--     curl 127.0.0.1:8080/embed -H 'Content-Type: application/json' -d '{"inputs": "a text"}'
--
-- docs/serving.md has the routes, limits and a unit for systemd.

local recipe = require "bertlua.recipe"

recipe.main("serve.serve", {}, "Serve a model over HTTP.")
