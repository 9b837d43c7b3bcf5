# Completion of bertlua for fish: `make install` puts it into PREFIX/share/fish/vendor_completions.d.
#
# Candidates come from `bertlua --complete WORDS...`: a line each, what it means behind a tab; ":any" or ":lua" in the
# last line stands for names of files.
function __bertlua_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':any'
                __fish_complete_path "$current"
            case ':lua'
                __fish_complete_suffix "$current" .lua
            case '*'
                echo $line
        end
    end
end
complete -c bertlua -f -a '(__bertlua_complete)'
