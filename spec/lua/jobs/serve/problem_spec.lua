local problem = require "bertlua.jobs.serve.problem"

describe("a problem", function()
    it("has the form that clients of the route expect", function()
        local found = problem.new(413, "Validation", "too \"long\"",
            { param = "inputs", code = "context_length_exceeded" })
        assert.are.equal('{"error":"too \\"long\\"","error_type":"Validation"}', found:body())
        assert.are.equal('{"error":{"code":"context_length_exceeded","message":"too \\"long\\"","param":"inputs",'
            .. '"type":"invalid_request_error"}}', found:body "openai")
        assert.are.equal('{"error":{"code":null,"message":"full","param":null,"type":"rate_limit_exceeded"}}',
            problem.new(429, "Overloaded", "full"):body "openai")
    end)

    it("is thrown as itself", function()
        local ok, value = pcall(problem.raise, 404, "Validation", "no route")
        assert.is_false(ok)
        assert.is_true(problem.is(value))
        assert.are.same({ 404, "no route" }, { value.status, tostring(value) })
        assert.is_false(problem.is "no route")
    end)
end)
