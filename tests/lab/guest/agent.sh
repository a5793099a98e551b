# Runs the commands of a machine: a line "NUMBER SECONDS" on the second serial port names /lab/NUMBER.sh; "NUMBER STATUS" is the answer.
# Its output is in /lab/NUMBER.out and .err. Status 124 or 137: not ended within SECONDS.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TMPDIR=/tmp
for place in /usr/lib/xen-*/bin; do PATH=$PATH:$place; done
cd /
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo "ready 0" >&3
while read -r number seconds <&3; do
    timeout -k 5 "$seconds" sh "/lab/$number.sh" >"/lab/$number.out" 2>"/lab/$number.err" </dev/null 3>&-
    echo "$number $?" >&3
done
