// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Params: the numbers that the protocol runs on.
/// @notice Sets are numbered from 1 and never change. Each job keeps to the set that was in force when it was submitted; the
/// owner, the timelock, puts another one in force for later jobs.
interface IParams {
    /// @notice Shares are in basis points.
    /// @param orchestratorFeeBps at most 300
    /// @param lockMultiple what a stage locks while it works, in prices of its replica
    /// @param slashBps share of the stake left after the job lock that proven fraud costs
    /// @param challengerBps share of what is slashed that the challenger gets; at most 3000
    /// @param minWindowSeconds shortest time from submission to the commit deadline; also what a replacement adds to it
    /// @param revealWindowSeconds from the moment when reveals open
    /// @param challengeWindowSeconds from `finalize`
    /// @param responseWindowSeconds what each side of a dispute has for all its answers; and from a pinpoint to its conclusion
    /// @param bondBps a dispute's bond, as a share of what one stage of the job locks
    struct Set {
        uint16 protocolFeeBps;
        uint16 orchestratorFeeBps;
        uint8 lockMultiple;
        uint16 slashBps;
        uint16 challengerBps;
        uint32 minWindowSeconds;
        uint32 maxWindowSeconds;
        uint32 revealWindowSeconds;
        uint32 challengeWindowSeconds;
        uint32 responseWindowSeconds;
        uint16 bondBps;
    }

    /// @notice Another set is in force for what begins from now on.
    /// @param epoch the set's number
    event ParamsChanged(uint8 indexed epoch, Set set);

    /// @notice A number of the set is outside its limits: docs/contracts/Params.md lists them.
    error BadParams(Set set);
    /// @notice Who matches jobs gets no more than 3 % of their price.
    error OrchestratorFeeTooHigh(uint16 orchestratorFeeBps, uint16 maxBps);
    /// @notice All numbers for sets are given out.
    error TooManyEpochs(uint256 maxEpochs);

    /// @notice Puts another set in force for jobs submitted from now on. By the owner.
    function change(Set calldata set) external;

    /// @notice What a submission needs of the set in force.
    function terms()
        external
        view
        returns (
            uint8 epoch,
            uint8 lockMultiple,
            uint32 minWindowSeconds,
            uint32 maxWindowSeconds,
            uint32 revealWindowSeconds
        );

    /// @notice What paying a job needs of its set.
    function fees(uint8 epoch) external view returns (uint16 protocolFeeBps, uint16 orchestratorFeeBps);

    /// @notice What most steps of a dispute need of their job's set.
    function disputes(uint8 epoch) external view returns (uint32 responseWindowSeconds, uint16 bondBps);

    /// @notice The set in force.
    function current() external view returns (Set memory);

    /// @notice A set that is or was in force; all zero where there is none.
    function at(uint8 epoch) external view returns (Set memory);
}
