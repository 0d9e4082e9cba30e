// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title The operators that serve a job, as 32-bit operator ids, eight to a storage slot. Ids are never 0.
library SeatLib {
    uint256 private constant SEATS_PER_WORD = 8;

    /// @notice Adds `ids` to the seats unless one of them is there already. Ids may repeat among themselves: an operator
    /// may serve several stages of one replica.
    /// @return taken index in `ids` of the first one that was there already, `ids.length` where none was
    function take(mapping(uint256 index => uint256) storage words, uint32[] memory ids)
        internal
        returns (uint256 taken)
    {
        (uint256 seat, uint256 word) = (0, words[0]);
        while (true) {
            uint256 id = word >> (seat % SEATS_PER_WORD * 32) & type(uint32).max;
            if (id == 0) break;
            for (uint256 i = 0; i < ids.length; ++i) {
                if (ids[i] == id) return i;
            }
            if (++seat % SEATS_PER_WORD == 0) word = words[seat / SEATS_PER_WORD];
        }
        for (uint256 i = 0; i < ids.length; ++i) {
            word |= uint256(ids[i]) << (seat % SEATS_PER_WORD * 32);
            if (++seat % SEATS_PER_WORD == 0) {
                words[seat / SEATS_PER_WORD - 1] = word;
                word = 0;
            }
        }
        if (seat % SEATS_PER_WORD != 0) words[seat / SEATS_PER_WORD] = word;
        return ids.length;
    }
}
