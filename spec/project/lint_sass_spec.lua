--- What the linter of machine code counts, and what it refuses; a script stands for cuobjdump.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

describe("the linter of machine code", function()
    local folder

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-sass")
        assert(fs.write(folder .. "/gelu.o", ""))
        assert(fs.write(folder .. "/cuobjdump", [[
#!/bin/sh
cat <<'END'
 Function _Z11gelu_kernelI13__nv_bfloat16EvPT_:
  REG:40 STACK:0 SHARED:0 LOCAL:0
 Function _Z11gelu_kernelIfEvPT_:
  REG:20 STACK:8 SHARED:0 LOCAL:0
		Function : _Z11gelu_kernelI13__nv_bfloat16EvPT_
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;          /* 0x0 */
        /*0010*/              @!P0 LDG.E.64.CONSTANT R4, desc[UR4][R2.64] ;  /* 0x0 */
        /*0020*/                   LDG.E R4, desc[UR4][R2.64] ;              /* 0x0 */
        /*0030*/                   LDG.E.U16 R4, desc[UR4][R2.64] ;          /* 0x0 */
        /*0040*/                   HMMA.16816.F32 R4, R2, R3, R4 ;           /* 0x0 */
        /*0050*/                   LDSM.16.M88.4 R4, [R2] ;                  /* 0x0 */
        /*0060*/               @P0 STG.E.128 desc[UR4][R2.64], R4 ;          /* 0x0 */
		Function : _Z11gelu_kernelIfEvPT_
        /*0000*/                   STL [R1], R0 ;                            /* 0x0 */
END
]]))
        os.execute(("chmod +x '%s/cuobjdump'"):format(folder))
    end)
    teardown(function() assert(fs.remove(folder)) end)

    local function lint(more)
        return process.run_bertlua(("scripts/lint_sass.lua %s %s"):format(process.quote(folder), more or ""),
            ("CUOBJDUMP=%s"):format(process.quote(folder .. "/cuobjdump")))
    end

    it("counts bytes in wide accesses, products, loads of matrices and registers", function()
        local output, code = lint "--table"
        assert.are.equal(0, code, output)
        assert.matches("\ngelu_kernel<bf16> 53 100 1 1 40 %- %-\n", output)
        assert.is_nil(output:find("gelu_kernel<float>", 1, true), "it stands for its bf16 form")
    end)

    it("refuses local memory, kernels that the table lacks, and lines without a kernel", function()
        local output, code = lint()
        assert.are.equal(1, code)
        assert.matches("gelu_kernel<float>: 1 accesses to local memory\n", output)
        assert.matches("gelu_kernel<bf16>: not in scripts/sass_table.txt; %-%-table prints its line\n", output)
        assert.matches("lamb_step_kernel<bf16>: in scripts/sass_table.txt, but there is none\n", output)
    end)
end)
