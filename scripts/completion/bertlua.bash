# Completion of bertlua for bash: `make install` puts it where bash-completion looks; or `source` it.
#
# Candidates come from `bertlua --complete WORDS...`: a line each, what it means behind a tab; ":any" or ":lua" in the
# last line stands for names of files.
_bertlua() {
    local current=${COMP_WORDS[COMP_CWORD]} line candidate
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :any)
            while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current")
            compopt -o filenames 2>/dev/null
            ;;
        :lua)
            while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(
                compgen -f -X '!*.lua' -- "$current"
                compgen -d -- "$current"
            )
            compopt -o filenames 2>/dev/null
            ;;
        *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _bertlua bertlua
