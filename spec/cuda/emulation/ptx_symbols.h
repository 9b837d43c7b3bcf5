/*
 * ptx_symbols.h - the mangled names of a function of this shared object, as
 * nvcc writes them in PTX.
 */
#ifndef BERTLUA_EMULATION_PTX_SYMBOLS_H
#define BERTLUA_EMULATION_PTX_SYMBOLS_H

#include <string>
#include <vector>

namespace ptx {

/* Several where the compiler has found functions to be the same; none: unknown. */
const std::vector<std::string> &symbols_at(const void *function);

} // namespace ptx

#endif
