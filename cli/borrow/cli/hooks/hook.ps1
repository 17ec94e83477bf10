# Borrow's hook for PowerShell: `borrow hook pwsh | Out-String | Invoke-Expression` in $PROFILE.
# Untried: written by the book, and run by no test.
# A project's programs become functions with one fixed body; no text of a project is ever run.
$global:BorrowBin = @BORROW@
$global:BorrowPrompts = @PROMPTS@
$global:BorrowAt = ''
$global:BorrowFile = ''
$global:BorrowStamp = ''
$global:BorrowTrust = ''
$global:BorrowWords = @()
$global:BorrowSid = $PID
if (Test-Path "/proc/$PID/stat") {
    $borrowFields = (Get-Content -Raw "/proc/$PID/stat").Trim() -split ' '
    if ($borrowFields[5] -match '^[1-9][0-9]*$') { $global:BorrowSid = $borrowFields[5] }
}

function global:_borrow_segment {
    $told = @()
    $place = Join-Path $global:BorrowPrompts "$global:BorrowSid"
    if (Test-Path -LiteralPath $place) {
        $now = [DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
        foreach ($line in [IO.File]::ReadAllLines($place)) {
            if ($line -notmatch '^([a-z0-9._-]+) ([0-9]+)$') { continue }
            $left = [long]$Matches[2] - $now
            if ($left -le 0) { continue }
            $more = if ($left -ge 5400) { "$([math]::Floor(($left + 1800) / 3600))h" }
                elseif ($left -ge 60) { "$([math]::Floor($left / 60))m" } else { "${left}s" }
            $told += "$($Matches[1]) $more"
        }
    }
    if ($Env:BORROW_ROLE -match '^[a-z0-9._-]+$' -and -not ($told -like "$Env:BORROW_ROLE *")) {
        $told += $Env:BORROW_ROLE
    }
    $global:BORROW_PROMPT = if ($told) { "[$($told -join ' ')] " } else { '' }
}

function global:_borrow_wrap([string]$Name) {
    if ($Name -notmatch '^[A-Za-z0-9][A-Za-z0-9._+-]*$') { return }
    if (Get-Command -Name $Name -CommandType Alias, Function, Cmdlet -ErrorAction SilentlyContinue) {
        [Console]::Error.WriteLine("borrow: $Name is a command of yours already and stays so")
        return
    }
    $body = { & $global:BorrowBin run --here -- $Name @args }.GetNewClosure()
    Set-Item -Path "function:global:$Name" -Value $body
    $global:BorrowWords += $Name
}

function global:_borrow_project {
    $here = (Get-Location).ProviderPath
    $fresh = $false
    if ($here -ne $global:BorrowAt) {
        $before = $global:BorrowFile
        $global:BorrowAt = $here
        $global:BorrowFile = ''
        for ($folder = [IO.DirectoryInfo]$here; $folder; $folder = $folder.Parent) {
            $file = Join-Path $folder.FullName '.borrow.toml'
            if (Test-Path -LiteralPath $file) { $global:BorrowFile = $file; break }
        }
        $fresh = $global:BorrowFile -ne $before
    }
    if (-not $global:BorrowFile -and -not $fresh) { return }
    if (-not $fresh) {
        $good = $global:BorrowStamp -and (Test-Path -LiteralPath $global:BorrowStamp) -and
            (Get-Item -Force -LiteralPath $global:BorrowFile).LastWriteTimeUtc -le
            (Get-Item -Force -LiteralPath $global:BorrowStamp).LastWriteTimeUtc
        if ([bool]$good -eq ($global:BorrowTrust -eq 'trusted')) { return }
    }
    foreach ($name in $global:BorrowWords) { Remove-Item "function:$name" -ErrorAction SilentlyContinue }
    $global:BorrowWords = @()
    $global:BorrowStamp = ''
    $global:BorrowTrust = ''
    if (-not $global:BorrowFile) { return }
    $told = @(& $global:BorrowBin hook --names)
    $global:BorrowTrust = $told[0]
    $global:BorrowStamp = $told[1]
    foreach ($name in ($told | Select-Object -Skip 2)) { if ($name) { _borrow_wrap $name } }
}

if (-not (Test-Path function:_borrow_prompt_before)) {
    Copy-Item function:prompt function:global:_borrow_prompt_before
    function global:prompt {
        _borrow_project
        _borrow_segment
        $segment = if ($Env:BORROW_PROMPT_SEGMENT -eq 'off') { '' } else { $global:BORROW_PROMPT }
        $segment + (_borrow_prompt_before)
    }
}
